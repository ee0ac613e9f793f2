"""The names of the service and its methods on the wire."""

from __future__ import annotations

from jprobe.v1 import collector_pb2

SERVICE = collector_pb2.DESCRIPTOR.services_by_name["CollectorService"].full_name
LIST_PROBES = f"/{SERVICE}/ListProbes"
SUBSCRIBE = f"/{SERVICE}/Subscribe"
AGGREGATE = f"/{SERVICE}/Aggregate"
END_AGGREGATE = f"/{SERVICE}/EndAggregate"
GET_STATUS = f"/{SERVICE}/GetStatus"
SET_PROBES = f"/{SERVICE}/SetProbes"
LIST_PROCESSES = f"/{SERVICE}/ListProcesses"
