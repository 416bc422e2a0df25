"""What is told of requests: marked as they begin, written before they are answered, shipped when somebody takes it."""
