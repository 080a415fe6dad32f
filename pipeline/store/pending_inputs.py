"""Which inputs are to be read, and which only have new rows: an input is what its bytes are, whatever its time says.

new, or failed and may pass       read
another time or size              hashed; bytes that are known are one new row of `videos` and nothing else
no time or size known now         as before
as large as others                hashed; the same bytes as another's are one row, which says so
as before, but the list says more one new row of `videos`
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import pyarrow as pa

from pipeline.store.dataset import Dataset
from pipeline.store.newest import STAMPS
from pipeline.store.plans import Plan, write_plan
from pipeline.store.retrying import Retrying
from pipeline.store.views import connect
from schemas.tables.videos import FAILED, PROBED

IDENTIFIED = pa.schema({"uri": pa.string(), "video_id": pa.string()})
STATES = """
create temp table states as
with known as (
    select v.uri, v.file_bytes, v.modified_us, v.source from videos v join video_locations p using (video_id)
    where v.status = '{PROBED}' and v.uri = p.uris[1] and p.split is distinct from '{split}'
), wanted as (
    select place, identified, uri, file_bytes, modified_us, source from inputs
    union all select {num_inputs}, null, uri, file_bytes, modified_us, source from known
    where uri not in (select uri from inputs)
)
select w.*, coalesce(f.num_failures, 0)::int as num_failures,
       {differs_from_video} as has_changed,
       (v.uri is null or v.status = '{FAILED}' or has_changed or w.uri in (select uri from known))
           and not (f.uri is not null and not {may_retry}) as undone,
       v.video_id is not null and has_changed and (v.file_bytes = 0 or w.file_bytes in (0, v.file_bytes))
           as may_be_as_before,
       v.uri is not null and w.source not in ('{{}}', v.source) as says_more
from wanted w
left join videos v on v.uri = w.uri
left join (
    select * from videos_raw where status = '{FAILED}'
    qualify row_number() over (partition by uri order by written_us desc nulls last) = 1
) f on f.uri = w.uri and not ({differs_from_failed})
    and (v.status = '{FAILED}' or f.written_us > v.written_us)
"""
UNIDENTIFIED = """
undone and (may_be_as_before or file_bytes > 0 and file_bytes in (
    select file_bytes from (
        select uri, file_bytes from states where undone union select uri, file_bytes from videos
    ) group by file_bytes having count(distinct uri) > 1
))
"""
KNOWN = """(
    select * from (
        select * from videos_raw where duplicate_of is null and video_id is not null
        qualify row_number() over (partition by video_id order by written_us desc nulls last) = 1
    ) where status = '{FAILED}' or split is not distinct from '{split}'
)"""
"""What was found in bytes that need not be read again: those that failed, and those divided last as is wanted now."""
RELOCATED = """
select o.* exclude ({stamps}) replace (
    s.uri as uri, if(s.file_bytes = 0, o.file_bytes, s.file_bytes) as file_bytes,
    if(s.modified_us = 0, coalesce(v.modified_us, 0), s.modified_us) as modified_us,
    if(s.source = '{{}}', coalesce(v.source, s.source), s.source) as source,
    coalesce(
        (select min(h.uri) from videos h where h.video_id = s.identified and h.duplicate_of is null and h.uri <> s.uri),
        nullif(first(s.uri) over (partition by s.identified order by s.place), s.uri)
    ) as duplicate_of
)
from states s
join {known} o on o.video_id = s.identified
left join videos v on v.uri = s.uri
where s.undone
"""
TO_SCAN = """
undone and (identified is null or identified not in (select video_id from {known}))
qualify identified is null or row_number() over (partition by identified order by place) = 1
"""


@dataclass(frozen=True)
class PendingInputs:
    """What is to be done about inputs."""

    to_scan: Plan
    """Those to read, with the columns of a `ListedInput`. Of several with the same bytes only the first: the others are
    relocated once it has its row."""
    relocated: pa.Table
    """Rows of `videos` of inputs whose bytes are known, in the columns of the table but its stamps."""
    retold: pa.Table
    """The same of inputs that are as before, but of which the list says more."""
    num_listed: int
    """How many of the first two the list names; the others are videos of the data set that are to be divided again."""


@dataclass(frozen=True)
class InputStates:
    """What the tables know of inputs. To them come the videos that are divided otherwise than is wanted now."""

    dataset: Dataset
    inputs: pa.Table
    """As `list_inputs` gives them."""
    split: str
    """The fingerprint of how videos are to be divided."""
    retrying: Retrying

    def to_identify(self) -> Plan:
        """Inputs that are to be hashed before it is known what is to be done about them."""
        return self._plan(self._connect(IDENTIFIED.empty_table()), f"where {UNIDENTIFIED}")

    def pending(self, identified: pa.Table) -> PendingInputs:
        """What is to be done about the inputs.

        Args:
            identified: `uri` and `video_id` of those of `to_identify`; null where they could not be read.
        """
        connection = self._connect(identified)
        known = KNOWN.format(FAILED=FAILED, split=self.split)
        stamps = ", ".join(STAMPS)
        retold = (
            f"select v.* exclude ({stamps}) replace (s.source as source) "
            "from states s join videos v using (uri) where not s.undone and s.says_more"
        )
        relocated = connection.sql(RELOCATED.format(stamps=stamps, known=known)).to_arrow_table()
        chosen = f"where {TO_SCAN.format(known=known)}"
        listed = f"select count(*) from (select uri from states {chosen}) semi join inputs using (uri)"
        ((num_listed,),) = connection.sql(listed).fetchall()
        to_scan = self._plan(connection, chosen)
        retold_rows = connection.sql(retold).to_arrow_table()
        return PendingInputs(to_scan, relocated, retold_rows, relocated.num_rows + num_listed)

    def _plan(self, connection: duckdb.DuckDBPyConnection, condition: str) -> Plan:
        names = "uri, file_bytes, modified_us, source, num_failures"
        return write_plan(self.dataset, connection, f"select {names} from states {condition}", order="uri")

    def _connect(self, identified: pa.Table) -> duckdb.DuckDBPyConnection:
        connection = connect(self.dataset)
        connection.register("listed", self.inputs.append_column("place", pa.array(range(self.inputs.num_rows))))
        connection.register("identified", identified)
        connection.execute(
            "create temp view inputs as select l.* exclude (num_failures), i.video_id as identified "
            "from listed l left join identified i using (uri)"
        )
        facts = {"PROBED": PROBED, "FAILED": FAILED, "split": self.split, "num_inputs": self.inputs.num_rows}
        differences = {"differs_from_video": _differs("v"), "differs_from_failed": _differs("f", both=True)}
        connection.execute(STATES.format(may_retry=self.retrying.condition("f"), **facts, **differences))
        return connection


def _differs(row: str, *, both: bool = False) -> str:
    """SQL that is true if an input, `w`, has another size or time than an earlier row of it says.

    What a lister does not know is 0, and differs from nothing: the store may only have failed to say it.

    Args:
        both: what the row does not know differs from nothing either.
    """
    names = ("file_bytes", "modified_us")
    known = {name: f"w.{name} > 0" + (f" and {row}.{name} > 0" if both else "") for name in names}
    return " or ".join(f"({known[name]} and {row}.{name} <> w.{name})" for name in names)
