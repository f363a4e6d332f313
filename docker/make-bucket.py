"""Wait for the S3-compatible store and make the bucket of MLflow's artifacts, unless it is there."""

import os
import sys
import time
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

PATIENCE_S = 120.0
THERE_ALREADY = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}


def main() -> int:
    """Exit 0 when the bucket is there, 1 when the store did not answer in time or refused."""
    client = boto3.client(
        "s3",
        endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"],
        region_name=os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
        aws_access_key_id=Path(os.environ["S3_ACCESS_KEY_FILE"]).read_text(encoding="utf-8").strip(),
        aws_secret_access_key=Path(os.environ["S3_SECRET_KEY_FILE"]).read_text(encoding="utf-8").strip(),
    )
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            client.create_bucket(Bucket=os.environ["S3_BUCKET"])
        except ClientError as refusal:
            if refusal.response["Error"]["Code"] in THERE_ALREADY:
                return 0
            problem = refusal
        except BotoCoreError as outage:
            problem = outage
        else:
            return 0
        if time.monotonic() > deadline_s:
            sys.stderr.write(f"make-bucket: {problem}\n")
            return 1
        time.sleep(1.0)


if __name__ == "__main__":
    sys.exit(main())
