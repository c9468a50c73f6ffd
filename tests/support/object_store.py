"""A server on this machine that speaks S3 (moto), and the variables by which clients find it."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock


@contextmanager
def serving() -> Iterator[str]:
    """Yields the URL of an empty bucket; inside, s3fs and the processes started from here find its server."""
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ACCESS_KEY_ID": "reader",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }
    with mock.patch.dict(os.environ, variables):
        s3fs.S3FileSystem.clear_instance_cache()  # an instance keeps the address of its server
        try:
            bucket = f"reviews-{secrets.token_hex(4)}"  # moto keeps those of servers before
            s3fs.S3FileSystem().mkdir(bucket)
            yield f"s3://{bucket}"
        finally:
            s3fs.S3FileSystem.clear_instance_cache()
            server.stop()
