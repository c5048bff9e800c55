#!/usr/bin/env bash
# What the tests start, where it can be had: Redis, PostgreSQL, Spark; Prometheus; Helm; Chromium; SHAP;
# and all that `python -m skewless.testing.servers list` names.
# Usage: tools/get_servers.sh PYTHON. What cannot be had fails the tests that need it, not this.
set -euo pipefail
python=$1

packages=()
command -v redis-server >/dev/null || packages+=(redis-server)
command -v pg_config >/dev/null || packages+=(postgresql)
command -v promtool >/dev/null || packages+=(prometheus)
command -v prometheus-alertmanager >/dev/null || packages+=(prometheus-alertmanager)
command -v chromium >/dev/null || packages+=(chromium)
command -v java >/dev/null || packages+=(default-jre-headless)
command -v mvn >/dev/null || packages+=(maven)
if [ ${#packages[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        # RUNLEVEL=1: install them, do not start them; the tests start their own.
        export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${packages[@]}"; } \
            >/dev/null 2>&1 || echo "apt-get could not install ${packages[*]}."
    else
        echo "Not here, and only root could install them: ${packages[*]}"
    fi
fi
"$python" -c 'import grafana_foundation_sdk, helm_python, kubernetes_validate' 2>/dev/null || "$python" -m pip install --quiet \
    --disable-pip-version-check --constraint constraints.txt grafana-foundation-sdk helm-python-sdk kubernetes-validate ||
    echo "pip could not install grafana-foundation-sdk, helm-python-sdk and kubernetes-validate."
"$python" -c 'import pyspark' 2>/dev/null || "$python" -m pip install --quiet \
    --disable-pip-version-check --constraint constraints.txt pyspark || echo "pip could not install pyspark."
"$python" -c 'import shap' 2>/dev/null || "$python" -m pip install --quiet \
    --disable-pip-version-check --constraint constraints.txt shap || echo "pip could not install shap."
"$python" -m pip show --quiet OpenOA 2>/dev/null || "$python" -m pip install --quiet --no-deps \
    --disable-pip-version-check OpenOA==3.2 || echo "pip could not install OpenOA, for its data."
"$python" -m skewless.testing.servers install all || echo "Not all of them could be had."
"$python" -c 'import playwright' 2>/dev/null || "$python" -m pip install --quiet \
    --disable-pip-version-check --constraint constraints.txt playwright || echo "pip could not install playwright."
