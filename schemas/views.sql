-- Views over the part files of a data set. `videos_raw`, `clips_raw`, `captions_raw` and so on are the tables themselves,
-- with every row that was ever written. pipeline/store/views.py adds the newest row of each key, under the table's name
-- (`videos`, `embeddings`, `latents`, `text`, `decisions`, `caption_decisions`, `caption_identity`) or as `newest_clips`,
-- `newest_captions`; `standing_captions`, in which a failure that may pass hides no caption; `video_locations`, the
-- files that hold the bytes of each video now; and `clips`, each clip of such bytes with its newest scores and decision,
-- with `clip_statuses` and `shown_clips`, the same with none or a few of the scores, which are faster to read.

-- Clips that show the same as others.
create or replace view duplicates as
select * from newest_duplicates where group_size > 0;

-- Each caption with its newest decision, unless the caption was written again after it; it is pending without one, and
-- failed if there is no text. Captions are left out of clips that do not stand, and those of another content box than the
-- clip has now; a similarity by another embedding is null, and so is what other captions said of one that was written
-- again. Whether it contradicts the camera follows from what it claims and from how the clip's camera is measured now.
create or replace view captions as
select c.* exclude (shown_box, given, similarity_encoder, text_embedding, batch_id, batch_place, failure, transient,
                    num_failures, was_cut, checks_version, contradicted_when_written) replace (
    if(c.similarity_encoder is null or c.similarity_encoder = s.encoder, c.text_video_similarity, null)
        as text_video_similarity
),
if(c.failure is null, coalesce(d.status, 'pending'), 'failed') as status,
if(c.failure is null, coalesce(d.reasons, []), [c.failure]) as reasons,
if(c.camera_claims is null, c.contradicted_when_written,
   contradicts_camera(c.camera_claims, s.camera_motion, s.camera_strength, s.camera_confidence)) as contradicts_camera,
i.own_fit, i.fit_margin, i.better_clip, i.batch_shift, i.num_unlike
from standing_captions c
join shown_clips s on s.clip_id = c.clip_id and (c.shown_box is null or c.shown_box = s.content_box::int[])
left join caption_decisions d
    on d.clip_id = c.clip_id and d.captioner = c.captioner
    and coalesce(d.written_us, 0) >= coalesce(c.written_us, 0)
left join caption_identity i on i.clip_id = c.clip_id and i.captioner = c.captioner
    and i.caption_us is not distinct from c.written_us and i.encoder = s.encoder;

create or replace view kept as
select * from clips where status = 'kept';

-- One row per clip and reason.
create or replace view rejects as
select clip_id, uri, start_us, end_us, status, unnest(reasons) as reason
from clip_statuses where status in ('rejected', 'failed');

-- How many clips each reason rejects, and how many no other reason rejects.
create or replace view reject_reasons as
select reason, count(*) as clips, count(*) filter (where alone) as only_reason
from (select unnest(reasons) as reason, len(reasons) = 1 as alone from clip_statuses
      where status in ('rejected', 'failed'))
group by reason order by clips desc, reason;

create or replace view video_failures as
select reason, count(*) as videos from videos where status = 'failed' group by reason order by videos desc, reason;

-- Kept clips with an accepted caption, and the text that came with the source: what a release selects from.
create or replace view trainable as
select k.*, c.captioner, c.captioner_name, c.language, c.short, c.medium, coalesce(c.merged, c.detailed) as detailed,
       c.num_words, c.text_video_similarity, p.source
from kept k
join captions c on c.clip_id = k.clip_id and c.status = 'ok'
join video_locations p on p.video_id = k.video_id;

-- videos in = probed + failed; clips = kept + rejected + failed + pending.
create or replace view funnel as
with of_videos as (
    select count(*) as n, count(*) filter (status = 'probed') as probed, count(*) filter (status = 'failed') as failed,
           count(duplicate_of) as copies
    from videos
), of_clips as (
    select count(*) as n, count(*) filter (status = 'kept') as kept, count(*) filter (status = 'rejected') as rejected,
           count(*) filter (status = 'failed') as failed, count(*) filter (status = 'pending') as pending
    from clip_statuses
), of_captions as (
    select count(*) as n, count(*) filter (c.status = 'ok') as ok,
           count(*) filter (c.status = 'ok' and s.status = 'kept') as trainable
    from captions c join clip_statuses s using (clip_id)
)
select unnest(['videos in', 'videos probed', 'videos failed', 'byte-identical duplicates',
               'clips', 'clips kept', 'clips rejected', 'clips failed', 'clips pending',
               'captions', 'captions ok', 'trainable']) as stage,
       unnest([v.n, v.probed, v.failed, v.copies, c.n, c.kept, c.rejected, c.failed, c.pending,
               k.n, k.ok, k.trainable]) as rows
from of_videos v, of_clips c, of_captions k;

-- What is encoded: clips, latent positions (a transformer's tokens are these over those of a patch) and bytes by codec
-- and by the clip's own frames and size; latents of single frames by which frame they are. No latent is read.
create or replace view latent_sizes as
select encoder, frame, valid[1] as frames, valid[2] as width, valid[3] as height, count(*) as clips,
       sum(num_positions)::bigint as positions,
       sum(list_product(shape) * if(dtype = 'float16', 2, 4))::bigint as bytes
from latents where status = 'ok' group by all;

-- Accepted captions of kept clips that no text encoder has embedded, as they were written since.
create or replace view unembedded_captions as
select t.clip_id, t.captioner, t.detailed from trainable t anti join text x on x.text = t.detailed;
