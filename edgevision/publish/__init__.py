"""Events reach the broker: outbox on disk first, then MQTT."""
