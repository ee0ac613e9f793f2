"""From the ring to subscribers: records, columns, batches, the hub, the books, and rows to print."""
