"""KubeRay's manifests: what they name is there, GPUs are asked for where they are used, a server would take them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.infra.kuberay_schema import definition, problems

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "infra/kuberay"
MANIFESTS = sorted(FOLDER.glob("*/ray*.yaml"))
SETTINGS = yaml.safe_load((FOLDER / "settings/kustomization.yaml").read_text())
CRDS = os.environ.get("REELMILL_KUBERAY_CRDS", "")
"""A folder with the CRDs of the KubeRay release that the manifests name: its helm-chart/kuberay-operator/crds."""
GPU = "nvidia.com/gpu"
GIB = 1 << 30
Tree = dict[str, Any]

manifests = pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.parent.name)


def groups(path: Path) -> Iterator[tuple[Tree, Tree, Tree]]:
    """Of the head and of each worker group: the group, its pod and its container."""
    spec = yaml.safe_load(path.read_text())["spec"]
    cluster = spec.get("rayClusterSpec", spec)
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        yield group, pod, container


@manifests
def test_what_a_pod_names_is_there(path: Path) -> None:
    (config,) = SETTINGS["configMapGenerator"]
    account = yaml.safe_load((FOLDER / "settings/service-account.yaml").read_text())
    claims = {yaml.safe_load(file.read_text())["metadata"]["name"] for file in FOLDER.glob("*/runs.yaml")}
    for group, pod, container in groups(path):
        assert container["image"] in {image["name"] for image in SETTINGS["images"]}
        assert container["envFrom"][0]["configMapRef"]["name"] == config["name"]
        assert pod["serviceAccountName"] == account["metadata"]["name"]
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
        assert {
            v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persistentVolumeClaim" in v
        } <= claims
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


@manifests
def test_gpus_are_asked_for_with_their_image_and_only_there(path: Path) -> None:
    for _, pod, container in list(groups(path))[1:]:
        has_gpu = GPU in container["resources"]["limits"]
        assert has_gpu == (container["image"] == "reelmill-gpu")
        assert has_gpu == any(toleration["key"] == GPU for toleration in pod.get("tolerations", []))


@manifests
def test_the_head_runs_no_task_and_nodes_keep_memory_for_ray_itself(path: Path) -> None:
    (head, *_), *workers = groups(path)
    assert head["rayStartParams"]["num-cpus"] == "0"
    for group, _, container in workers:
        limit = int(container["resources"]["limits"]["memory"].removesuffix("Gi")) * GIB
        booked = sum(int(group["rayStartParams"][name]) for name in ("memory", "object-store-memory"))
        assert 0.8 * limit < booked < 0.95 * limit


def test_no_pod_starts_before_a_registry_is_named() -> None:
    """An upper-case name is none for an image: Kubernetes refuses it and says so."""
    assert [image["newName"] for image in SETTINGS["images"]] == ["REGISTRY/reelmill", "REGISTRY/reelmill-gpu"]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@manifests
def test_kubectl_renders_a_folder_with_its_settings(path: Path) -> None:
    command = ["kubectl", "kustomize", str(path.parent)]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    objects = {manifest["kind"]: manifest for manifest in yaml.safe_load_all(rendered)}
    plain = yaml.safe_load(path.read_text())
    assert set(objects) == {"ServiceAccount", "ConfigMap", plain["kind"]}
    assert "AWS_REGION" in objects["ConfigMap"]["data"]
    tags = {image["name"]: f"{image['newName']}:{image['newTag']}" for image in SETTINGS["images"]}

    def with_tags(tree: Any) -> Any:
        if isinstance(tree, list):
            return [with_tags(item) for item in tree]
        if not isinstance(tree, dict):
            return tree
        return {key: tags[value] if key == "image" else with_tags(value) for key, value in tree.items()}

    assert objects[plain["kind"]] == with_tags(plain)


@pytest.mark.skipif(not CRDS, reason="REELMILL_KUBERAY_CRDS does not name KubeRay's CRDs")
@manifests
def test_a_server_with_kuberay_takes_the_manifest(path: Path) -> None:
    manifest = yaml.safe_load(path.read_text())
    crd = definition(Path(CRDS), manifest["kind"])
    assert problems(crd, manifest) == []
    manifest["spec"]["entrypiont"] = "x"
    assert problems(crd, manifest) == ["spec: Additional properties are not allowed ('entrypiont' was unexpected)"]
