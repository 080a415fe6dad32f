"""Names of models to folders."""

from model.builtin import BUILTIN, COCA_FOLDER, WEIGHTS, clip_folder


def test_the_built_in_models_are_in_the_repository():
    for folder in ("autoencoder", "captioner", "clip", "coca"):
        assert (WEIGHTS / folder / "README.md").is_file()
    assert COCA_FOLDER == WEIGHTS / "coca"


def test_a_name_is_the_built_in_model_or_a_folder_in_open_clips_format(tmp_path):
    assert clip_folder(BUILTIN) == WEIGHTS / "clip"
    assert clip_folder(str(COCA_FOLDER)) == COCA_FOLDER
    assert clip_folder(str(tmp_path)) is None
    assert clip_folder("ViT-B-32/openai") is None
    (tmp_path / "open_clip_config.json").write_text("{}")
    assert clip_folder(str(tmp_path)) == tmp_path
