"""Raw video to training data, one room a step, in the order in which data flows:

    ingest       inputs, file systems, downloaded copies, the sandbox in which untrusted files are decoded
    decode       files to frames: the reader, random access, the frames of a clip, what a file says of itself
    split        frames to shots to clips
    measure      frames to numbers: measures of the stream, measures of clips
    scan         the single pass that feeds shot detectors and stream measures
    dedup        clips that show the same
    rules        numbers to decisions
    caption      frames to words: captioners, their backends, checks, prompts
    release      a frozen selection of clips, and what differs between two
    encode       clips and texts to latents and embeddings

`store` is the data set on disk and its views, `ray_graphs` the only room that imports Ray, `report` the page;
`synthetic` makes videos whose truth is known. A room imports only rooms below it: the contract in pyproject.toml lists
them from top to bottom.
"""
