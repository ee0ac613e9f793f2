"""What a collector reports about itself and the calls of its methods over a long time, in no exporter's
format."""
