"""Why a record is a dead letter: the fixed list."""

from enum import StrEnum


class Reason(StrEnum):
    """Dead-letter reasons; `docs/topics.md` explains each."""

    UNDECODABLE = "undecodable"  # not JSON, not line protocol, not UTF-8; a record batch that nobody can read
    NOT_FLAT = "not_flat"  # JSON, but no flat object of numbers, booleans and strings
    WRONG_TYPE = "wrong_type"  # a declared input with a value of another type
    MISSING_FIELD = "missing_field"  # a declared input is absent
    EXTRA_FIELD = "extra_field"  # an undeclared field where the type forbids it
    NOT_FINITE = "not_finite"  # NaN or infinity
    OUT_OF_RANGE = "out_of_range"  # outside the declared range
    INVALID_TIME = "invalid_time"  # `time` is neither integer nanoseconds nor RFC 3339
    FUTURE_TIME = "future_time"  # event time too far ahead of arrival
    LATE = "late"  # older than the twin's last record, where the type says `late: deadletter`
    TOO_LARGE = "too_large"  # payload above the limit
    INVALID_NAME = "invalid_name"  # a type, id, name or topic outside the grammar
    UNKNOWN_TYPE = "unknown_type"  # no such type is deployed
    UNKNOWN_TWIN = "unknown_twin"  # the type provisions only declared twins
    TOO_MANY_HOPS = "too_many_hops"  # routed from twin to twin too often, or a header `ts-hops` that is no number
    UNKNOWN_KIND = "unknown_kind"  # header `ts-kind` with an unknown value
    WRONG_PARTITION = "wrong_partition"  # the record's partition is not murmur2(id)
    QUARANTINED = "quarantined"  # the twin is quarantined until `release`
    STEP_FAILED = "step_failed"  # a step raised or gave NaN or infinity on this record
    INVALID_REQUEST = "invalid_request"  # an ack that can't be read or is for no command that the twin was given lately
    SINK_REFUSED = "sink_refused"  # the store refuses this record whatever is tried
    BROKER_REFUSED = "broker_refused"  # the broker ends every connection on which this command or event is published
