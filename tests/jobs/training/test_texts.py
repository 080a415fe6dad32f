"""The texts that training may use of a released clip, and of a release."""

from jobs.training.texts import release_texts
from pipeline.encode.wanted import training_texts
from pipeline.release import releases


def test_the_texts_of_a_clip_are_its_captions_and_its_source(encoded_dataset):
    row = releases.read(encoded_dataset, "drawn").clips.to_pylist()[0]
    assert list(training_texts(row)) == ["detailed", "short"]
    assert training_texts(row | {"medium": "m", "source": '{"title": "t"}'}) == {
        "detailed": row["detailed"],
        "medium": "m",
        "short": row["short"],
        "original": "t",
    }


def test_the_texts_of_a_release_are_those_of_its_clips(encoded_dataset):
    release = releases.read(encoded_dataset, "drawn")
    rows = release.clips.to_pylist()
    assert release_texts(release) == {row[name] for row in rows for name in ("detailed", "short")}
