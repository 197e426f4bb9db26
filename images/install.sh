# install.sh             into /opt/med42, all that /opt/med42/requirements lists: each file is checked against its hash
# install.sh tools       what builds, into /opt/tools
# install.sh package DIR our own package alone, into /opt/med42
set -eu

# Where the builder gives them, the secret pip.conf says which package index, and ca.pem whom to trust.
if [ -s /run/secrets/ca.pem ]; then export PIP_CERT=/run/secrets/ca.pem SSL_CERT_FILE=/run/secrets/ca.pem; fi
if [ -s /run/secrets/pip.conf ]; then export PIP_CONFIG_FILE=/run/secrets/pip.conf; fi
# What pip itself would take; its `config get` reads another file than the one that PIP_CONFIG_FILE names.
index() { /opt/tools/bin/pip config list | sed -nE "s/^(:env:|global)\.$1='(.*)'\$/\2/p" | head -n 1 | sed 's/\\n/ /g'; }

uv_install() {
  UV_DEFAULT_INDEX=$(index index-url) UV_INDEX="${TORCH_INDEX:-} $(index extra-index-url)" /opt/tools/bin/uv pip install \
    --python /opt/med42/bin/python --no-cache --compile-bytecode --index-strategy unsafe-best-match "$@"
}

case "${1:-}" in
  tools)   /opt/tools/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r /opt/tools/tools.txt ;;
  package) /opt/tools/bin/pip wheel --no-index --no-deps --no-build-isolation --quiet --wheel-dir /wheels "$2"
           uv_install --no-index --no-deps /wheels/*.whl ;;
  *)       uv_install --require-hashes --build-constraints /opt/tools/tools.txt \
             $(printf -- '--requirements %s ' /opt/med42/requirements/*.txt) ;;
esac
