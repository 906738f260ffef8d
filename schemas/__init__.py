"""What crosses a boundary: names, topics, records, definitions, codecs and time."""
