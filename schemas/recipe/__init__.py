"""Recipes: the complete, typed configuration of every job; one file a section."""

from schemas.recipe.loading import change_recipe, decode_recipe, load_recipe, recipe_comment, recipe_names
from schemas.recipe.recipe import Recipe, RecipeError

__all__ = [
    "Recipe",
    "RecipeError",
    "change_recipe",
    "decode_recipe",
    "load_recipe",
    "recipe_comment",
    "recipe_names",
]
