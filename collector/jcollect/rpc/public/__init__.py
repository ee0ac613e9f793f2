"""The public Python client: jcollect.Client and jcollect.AsyncClient (docs/clients.md).

It shares the connection and the checks of answers with the commands (rpc/client.py, rpc/incoming.py), and
adds typed values, and streams that resume after a disconnect.
"""
