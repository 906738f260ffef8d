"""Telegraf as a bridge from MQTT to Kafka, for comparison: built by `bench peers --install`."""

from pathlib import Path

from infra.bench.peers import TELEGRAF
from infra.embedded.process import ChildProcess
from streams.log.client import KafkaOptions

CONFIGURATION = """\
[agent]
  omit_hostname = true
  flush_interval = "100ms"
  metric_batch_size = 500
  metric_buffer_limit = 10000

# Payloads pass as they are. What Kafka has is acknowledged; as many wait for that as with our bridge.
[[inputs.mqtt_consumer]]
  servers = ["{server}"]
  topics = ["{topics}"]
  client_id = "{client_id}"
  qos = 1
  persistent_session = true
  max_undelivered_messages = 1000
  data_format = "value"
  data_type = "string"
  [[inputs.mqtt_consumer.topic_parsing]]
    topic = "+/+/+/+"
    tags = "_/_/twin/_"

[[outputs.kafka]]
  brokers = ["{kafka}"]
  version = "3.6.0"
  topic = "{topic}"
  routing_tag = "twin"
  required_acks = -1
  data_format = "template"
  template = '{{{{ .Field "value" }}}}'
"""


def process(folder: Path, url: str, client_id: str, topics: str, kafka: KafkaOptions, topic: str) -> ChildProcess:
    """The process, to be entered.

    Args:
        folder: For its configuration and its log.
        url: Of the MQTT broker.
        client_id: Of a session that the broker has.
        topics: Filter `twins/TYPE/+/telemetry`.
        kafka: Where it writes to.
        topic: Of Kafka; the key of a record is the twin.
    """
    file = folder / "telegraf.conf"
    server = url.replace("mqtt://", "tcp://")
    text = CONFIGURATION.format(
        server=server, topics=topics, client_id=client_id, kafka=kafka.bootstrap_servers, topic=topic
    )
    file.write_text(text)
    command = [str(TELEGRAF.folder / "bin" / "telegraf"), "--config", str(file)]
    return ChildProcess("telegraf", command, log_path=folder / "telegraf.log")
