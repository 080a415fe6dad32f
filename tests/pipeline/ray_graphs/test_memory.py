"""What stages ask of a cluster's memory: what they hold, and never more than there is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.caption.stage import HEADROOM
from pipeline.ray_graphs import memory
from pipeline.ray_graphs.memory import MIB, READING, Need, Node, nodes_of, requests
from schemas.recipe import Recipe, change_recipe, load_recipe

GIB = 1 << 30
RECIPE = load_recipe("default")
NODES = {
    "a laptop": [Node(3 * GIB)],
    "a little memory": [Node(256 * MIB)] * 2,
    "unlike nodes": [Node(GIB), Node(4 * GIB)],
    "a small node with the GPU": [Node(64 * GIB), Node(512 * MIB, num_gpus=1)],
    "a large node": [Node(256 * GIB, num_gpus=8)],
}


def graphs(recipe: Recipe) -> dict[str, list[Need]]:
    """The needs of the operators of each graph."""
    caption, encode = recipe.caption, recipe.encode
    return {
        "scan": [READING, memory.scan_need(recipe.limits)],
        "clip measures": [
            READING,
            memory.measuring_reader_need(recipe, 4),
            memory.measuring_models_need(recipe, 8, num_gpus=1),
        ],
        "captions": [
            READING,
            memory.frames_need(recipe.limits, memory.caption_frames_bytes(caption, HEADROOM)),
            memory.captioner_need(recipe, HEADROOM),
        ],
        "latents": [
            READING,
            memory.latents_need(encode, (4, 8, 8), recipe.limits, encode.num_actors),
        ],
        "texts": [READING, memory.texts_need(encode)],
    }


@pytest.mark.parametrize("nodes", NODES.values(), ids=NODES)
@pytest.mark.parametrize("graph", graphs(RECIPE))
def test_one_worker_of_each_operator_fits_at_once_and_all_of_them_in_the_cluster(graph: str, nodes: list[Node]) -> None:
    needs = graphs(change_recipe(RECIPE, ["caption.num_actors=3", "encode.num_actors=3"]))[graph]
    asked = requests(needs, nodes)
    assert sum(asked) <= max(node.memory_bytes for node in nodes)
    assert all(0 < one <= need.num_bytes for one, need in zip(asked, needs, strict=True))
    in_all = sum(one * need.num_workers for one, need in zip(asked, needs, strict=True))
    assert in_all <= sum(node.memory_bytes for node in nodes)
    for one, need in zip(asked, needs, strict=True):
        assert any(node.memory_bytes >= one and node.num_gpus >= need.num_gpus for node in nodes) or not any(
            node.num_gpus >= need.num_gpus for node in nodes
        )


def test_where_there_is_enough_each_asks_for_what_it_holds() -> None:
    for needs in graphs(RECIPE).values():
        assert requests(needs, NODES["a large node"]) == [need.num_bytes for need in needs]
        assert requests(needs, []) == [need.num_bytes for need in needs]  # a cluster that grows with its work


def test_needs_follow_the_recipe(tmp_path: Path) -> None:
    limits = RECIPE.limits
    assert memory.scan_need(replace(limits, memory_mib=100)).num_bytes == (memory.WORKER_MIB + 100) * MIB
    assert memory.scan_need(replace(limits, memory_mib=1e6)) == memory.scan_need(limits)
    checkpoint = tmp_path / "model"
    checkpoint.mkdir()
    with (checkpoint / "model.safetensors").open("wb") as stream:
        stream.truncate(5 * GIB)
    large = change_recipe(RECIPE, [f'caption.checkpoint="{checkpoint}"', "caption.num_actors=2"])
    need, builtin = (memory.captioner_need(recipe, HEADROOM) for recipe in (large, RECIPE))
    assert need.num_bytes - builtin.num_bytes == pytest.approx(10 * GIB, rel=0.01)
    assert need.num_workers == 2
    more = change_recipe(RECIPE, ["caption.batch_clips=64"])
    assert memory.captioner_need(more, HEADROOM).num_bytes > builtin.num_bytes
    plain = change_recipe(RECIPE, ["overlay_text.enabled=false", "rules={}"])
    text = memory.measuring_reader_need(RECIPE).num_bytes - memory.measuring_reader_need(plain).num_bytes
    assert text == memory.OVERLAY_TEXT_MIB * MIB


def test_a_head_that_runs_no_task_is_no_node() -> None:
    head = {"memory": 16.0 * GIB, "node:__internal_head__": 1.0}
    worker = {"memory": 32.0 * GIB, "CPU": 8.0, "GPU": 1.0}
    assert nodes_of([head]) == []
    assert nodes_of([head, worker]) == [Node(32 * GIB, num_gpus=1)]
