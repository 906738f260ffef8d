# ruff: noqa: SLF001  # private names are what this is about
"""Private names of Faust, mode and aiokafka that the engine leans on: no upgrade may take them away unseen."""

import inspect
import re
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiokafka
import faust
import pytest
from aiokafka import AIOKafkaConsumer, codec
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.consumer import fetcher, group_coordinator, subscription_state
from aiokafka.producer import message_accumulator, sender
from aiokafka.protocol import api
from aiokafka.record.legacy_records import LegacyRecordBatch
from faust.transport.consumer import Consumer as FaustConsumer
from faust.transport.consumer import ThreadDelegateConsumer
from faust.transport.drivers import aiokafka as driver
from mode.threads import ServiceThread

from infra.embedded.kafka_registration import UnregisterBrokerRequest
from streams.fetch import BlockRecords, FetchedRecords, fetch_blocks_of
from streams.log.metadata import TopicIdRequest
from streams.packing import PackedBatch
from streams.transport import BlockConsumer, BlockTransport
from streams.wire import BatchConnection
from streams.worker import _Worker

PINNED = {"faust-streaming": "0.15.3", "mode-streaming": "0.7.1", "aiokafka": "0.14.0"}


@pytest.mark.parametrize(("package", "pinned"), PINNED.items())
def test_the_installed_version_is_the_one_that_is_pinned_exactly(package: str, pinned: str) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert f"{package}=={pinned}" in project["project"]["dependencies"]
    assert version(package) == pinned


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (fetcher.PartitionRecords._unpack_records, ["self"]),
        (fetcher.PartitionRecords._consume_aborted_up_to, ["self", "batch_offset"]),
        (fetcher.PartitionRecords._contains_abort_marker, ["self", "next_batch"]),
        (driver.AIOKafkaConsumerThread._create_worker_consumer, ["self", "transport"]),
        (driver.Consumer._new_consumer_thread, ["self"]),
        (driver.Consumer._to_message, ["self", "tp", "record"]),
        (FaustConsumer._getmany, None),
        (FaustConsumer._wait_next_records, ["self", "timeout"]),
        (FaustConsumer.seek_to_committed, ["self"]),
        (FaustConsumer._seek, ["self", "partition", "offset"]),
        (AIOKafkaClient.get_random_node, ["self"]),
        (AIOKafkaClient.fetch_all_metadata, ["self"]),
        (AIOKafkaAdminClient._send_request_to_node, ["self", "node_id", "request"]),
        (AIOKafkaConnection.send, ["self", "request", "expect_response"]),
        (AIOKafkaConnection.close, ["self", "reason", "exc"]),
        (subscription_state.Assignment.state_value, ["self", "tp"]),
        (message_accumulator.MessageAccumulator.fail_all, ["self", "exception"]),
        (FaustConsumer.pause_partitions, ["self", "tps"]),
        (FaustConsumer.resume_partitions, ["self", "tps"]),
    ],
)
def test_a_private_function_is_there_and_takes_what_it_took(
    function: Callable[..., Any], parameters: list[str] | None
) -> None:
    if parameters is not None:
        assert list(inspect.signature(function).parameters) == parameters


@pytest.mark.parametrize(
    ("owner", "text"),
    [
        (fetcher.PartitionRecords.__init__, "self._tp = "),
        (fetcher.PartitionRecords.__init__, "self._records = "),
        (fetcher.PartitionRecords.__init__, "self._check_crcs = "),
        (fetcher.PartitionRecords.__init__, "self._isolation_level = "),
        (fetcher.PartitionRecords.__init__, "self._aborted_producers = "),
        (fetcher.PartitionRecords.__init__, "self.next_fetch_offset = "),
        # Looked up by name at every fetch, so that replacing the module's class takes effect.
        (fetcher.Fetcher._proc_fetch_request, "PartitionRecords("),
        (fetcher.Fetcher._proc_fetch_request, "records = MemoryRecords(part_data[-1])"),
        # Read at every fetch, so that it can change.
        (fetcher.Fetcher._get_actions_per_node, "self._fetch_min_bytes"),
        (AIOKafkaConsumer.start, "self._fetcher = Fetcher("),
        # The engine replaces this name to pass arguments that are written out in the call.
        (driver.AIOKafkaConsumerThread._create_worker_consumer, "_create_worker_consumer"),
        (driver.AIOKafkaConsumerThread._create_worker_consumer, "aiokafka.AIOKafkaConsumer("),
        # Without partitions that may go on it sleeps for a second, which the engine's consumer keeps it from.
        (FaustConsumer._wait_next_records, "await self.sleep(1)"),
        # The engine's own assignor takes its place, as an object with state.
        (driver.AIOKafkaConsumerThread._create_worker_consumer, "partition_assignment_strategy=[self._assignor]"),
        (group_coordinator.CoordinatorGroupRebalance.perform_group_join, "assignor.metadata(topics)"),
        (group_coordinator.GroupCoordinator._perform_assignment, "assignor.assign(self._cluster, member_metadata)"),
        (group_coordinator.GroupCoordinator._on_join_complete, "assignor.on_assignment(assignment)"),
        # A member that became warm joins anew.
        (group_coordinator.GroupCoordinator.request_rejoin, "self._rejoin_needed_fut.set_result(None)"),
        (driver.AIOKafkaConsumerThread.on_start, "self._consumer = "),
        # A member that can't join is left alone, and asks again after it was denied.
        (faust.App.consumer.fget, "if self._consumer is None:"),
        (group_coordinator.GroupCoordinator.__init__, "self.coordinator_id = None"),
        (group_coordinator.GroupCoordinator.coordinator_dead, "self.coordinator_id = None"),
        (group_coordinator.GroupCoordinator._push_error_to_user, "self._pending_exception = exc"),
        (group_coordinator.GroupCoordinator._push_error_to_user, "[self._error_consumed_fut, self._closing]"),
        (group_coordinator.GroupCoordinator.check_errors, "self._error_consumed_fut.set_result(None)"),
        (ThreadDelegateConsumer.__init__, "self._thread = "),
        (ServiceThread.__init__, "self.thread_loop = "),
        # What lies below it is dropped; the engine takes it away after every fetch.
        (FaustConsumer._drain_messages, "get_read_offset = self._read_offset.__getitem__"),
        (FaustConsumer._drain_messages, "if r_offset is None or offset >= r_offset:"),
        (aiokafka.AIOKafkaConsumer.__init__, "self._subscription = "),
        (aiokafka.AIOKafkaConsumer.__init__, "self._client = "),
        (AIOKafkaAdminClient.__init__, "self._client = "),
        (aiokafka.AIOKafkaProducer.__init__, "self._message_accumulator = "),
        (aiokafka.AIOKafkaProducer.__init__, "self._sender = "),
        (sender.Sender.sender_task.fget, "return self._sender_task"),
        (subscription_state.TopicPartitionState.__init__, "self._position = "),
        # Requests with record batches are written by a connection of ours, as aiokafka's own writes them.
        (create_conn, "conn = AIOKafkaConnection("),
        (AIOKafkaConnection.send, "request_struct = request.prepare(self._versions)"),
        (AIOKafkaConnection.send, "correlation_id=correlation_id, client_id=self._client_id"),
        (AIOKafkaConnection.send, "message = header.encode() + request_struct.encode()"),
        (AIOKafkaConnection.send, "self._writer.write(size + message)"),
        (AIOKafkaConnection.send, "(correlation_id, request_struct, fut),"),
        (AIOKafkaConnection.send, "return wait_for(fut, self._request_timeout)"),
        (sender.SendProduceReqHandler.create_request, "batch.get_data_buffer()"),
        # A stop has 4.5 s: this second of it is nobody's.
        (faust.Worker._sentinel_task, "await asyncio.sleep(1.0)"),
    ],
)
def test_the_source_still_says_what_the_engine_relies_on(owner: Callable[..., Any], text: str) -> None:
    assert text in inspect.getsource(owner)


def test_overrides_replace_methods_that_exist() -> None:
    for ours, theirs, names in (
        (BlockRecords, fetcher.PartitionRecords, ("_unpack_records",)),
        (
            BlockConsumer,
            driver.Consumer,
            ("_new_consumer_thread", "_wait_next_records", "_getmany", "_to_message", "seek_to_committed"),
        ),
        (BlockTransport, driver.Transport, ("Consumer",)),
        (_Worker, faust.Worker, ("_sentinel_task",)),
        (BatchConnection, AIOKafkaConnection, ("send",)),
    ):
        assert issubclass(ours, theirs)
        for name in names:
            assert name in vars(ours), name
            assert hasattr(theirs, name), name


def test_what_aiokafka_asks_of_fetched_batches_is_what_our_reader_of_them_has() -> None:
    source = inspect.getsource(fetcher.Fetcher._proc_fetch_request)
    asked = {part.split("(")[0] for part in source.split("records.")[1:]}
    assert asked <= vars(FetchedRecords(b"")).keys()
    assert {"has_next", "size_in_bytes"} <= asked


def test_old_message_sets_tell_what_the_block_unpacking_asks() -> None:
    for name in ("validate_crc", "__iter__"):
        assert hasattr(LegacyRecordBatch, name), name
    assert {"gzip_decode", "snappy_decode", "lz4_decode", "zstd_decode"} <= vars(codec).keys()


def test_what_aiokafka_asks_of_batches_to_be_sent_is_what_ours_have() -> None:
    source = inspect.getsource(message_accumulator.MessageBatch) + inspect.getsource(
        message_accumulator.MessageAccumulator
    )
    asked = set(re.findall(r"self\._builder\.(\w+)|batch\._builder\.(\w+)", source))
    names = {name for pair in asked for name in pair if name} - {"append"}  # whoever gives a whole batch adds nothing
    assert names <= vars(PackedBatch).keys()
    assert {"_set_producer_state", "_build", "record_count"} <= names


def test_faust_awaits_the_signals_that_the_engine_works_in() -> None:
    for name in ("on_rebalance_complete", "on_partitions_revoked", "on_before_shutdown"):
        assert hasattr(faust.App, name) or name in inspect.getsource(faust.App), name


def test_requests_of_our_own_are_built_as_those_of_aiokafka() -> None:
    assert issubclass(TopicIdRequest, api.Request)
    assert issubclass(UnregisterBrokerRequest, api.Request)
    assert {"host", "port", "request_timeout_ms"} <= set(inspect.signature(create_conn).parameters)
    assert list(inspect.signature(api.Request.build).parameters) == ["self", "request_struct_class"]


def test_consumers_of_this_process_unpack_blocks_once_a_topic_asked_for_them() -> None:
    fetch_blocks_of(["private-names-test"])
    assert (fetcher.PartitionRecords, fetcher.MemoryRecords) == (BlockRecords, FetchedRecords)


def test_a_member_with_a_name_leaves_its_group_when_the_name_is_taken_away() -> None:
    assert "self._group_instance_id is None" in inspect.getsource(group_coordinator.GroupCoordinator._maybe_leave_group)
    assert "self._coordinator = GroupCoordinator(" in inspect.getsource(aiokafka.AIOKafkaConsumer.start)
