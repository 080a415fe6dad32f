"""Checks manifests against the schemas that a KubeRay release publishes, as a Kubernetes server would: strictly.

    git clone --depth 1 --branch v1.7.0 https://github.com/ray-project/kuberay
    python -m tests.infra.kuberay_schema kuberay/helm-chart/kuberay-operator/crds infra/kuberay/*/ray*.yaml

The schemas are not copied into this project. Needs jsonschema, which comes with Ray.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import jsonschema
import yaml

Tree = dict[str, Any]


def definition(folder: Path, kind: str) -> Tree:
    """The custom resource definition of a kind, from a folder of them."""
    return yaml.load((folder / f"ray.io_{kind.lower()}s.yaml").read_text(), yaml.CSafeLoader)


def problems(crd: Tree, manifest: Tree) -> list[str]:
    """What is wrong with a manifest, each with its place; empty if nothing is."""
    wanted = manifest["apiVersion"].partition("/")[2]
    schemas = {version["name"]: version["schema"]["openAPIV3Schema"] for version in crd["spec"]["versions"]}
    if wanted not in schemas:
        return [f"apiVersion: {wanted} is none of {', '.join(schemas)}"]
    schema = _strict(schemas[wanted])
    # A server knows the metadata of every object by itself.
    schema["properties"]["metadata"] = {"type": "object"}
    errors = jsonschema.Draft7Validator(schema).iter_errors(manifest)
    return sorted(f"{'.'.join(map(str, error.absolute_path))}: {error.message}"[:400] for error in errors)


def _strict(schema: Any) -> Any:
    """A copy in which no object may have fields that are not named, as in a server's strict validation."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    copy = {key: _strict(value) for key, value in schema.items()}
    closed = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    if closed and "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        copy["additionalProperties"] = False
    return copy


def main(folder: str, *files: str) -> int:
    """Print what is wrong with each file; returns the exit status."""
    num_wrong = 0
    for file in files:
        for manifest in yaml.safe_load_all(Path(file).read_text()):
            found = problems(definition(Path(folder), manifest["kind"]), manifest)
            print(f"{file}: {manifest['kind']} {manifest['metadata']['name']}: {'; '.join(found) or 'valid'}")
            num_wrong += bool(found)
    return int(num_wrong > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
