#!/bin/sh
# Exit 0 when the Ray of this container answers: on the head its control store (RAY_PORT), on a worker the head's, whose
# address RAY_HEAD names.
set -eu
exec ray health-check --address "${RAY_HEAD:-127.0.0.1:${RAY_PORT:-6379}}"
