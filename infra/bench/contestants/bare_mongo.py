"""pymongo with one `update_one` for every document."""

import sys
from pathlib import Path

import msgspec
from pymongo import MongoClient

from infra.bench.job import Stopwatch
from infra.bench.sink_load import TYPE, documents_of


class Updating(msgspec.Struct, frozen=True):
    """What to write.

    Attributes:
        url: Of the server.
        database: Name of the database.
        documents: How many.
        twins: Of how many twins.
        report: File to write lines to.
    """

    url: str
    database: str
    documents: int
    twins: int
    report: str


def main() -> None:
    """Write everything once; what is written lies in memory."""
    job = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Updating)
    rows = [(f"{TYPE}/{twin}", msgspec.json.decode(text)) for twin, text in documents_of(job.documents, job.twins)]
    watch = Stopwatch(job.report)
    done = 0
    with MongoClient[dict[str, object]](job.url) as client:
        collection = client[job.database]["twins"]
        # As ours has: an index costs every update.
        collection.create_index("type", name="by_type")
        watch.start()
        for key, document in rows:
            collection.update_one({"_id": key}, {"$set": document}, upsert=True)
            done += 1
            watch.progress(done)
        watch.finish(done)


if __name__ == "__main__":
    main()
