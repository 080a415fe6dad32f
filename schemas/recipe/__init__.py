"""Recipes: the complete, typed configuration of every job; one file a section."""

from schemas.recipe.recipe import Recipe, RecipeError, change_recipe, decode_recipe, load_recipe

__all__ = ["Recipe", "RecipeError", "change_recipe", "decode_recipe", "load_recipe"]
