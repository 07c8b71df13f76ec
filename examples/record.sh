#!/usr/bin/env bash
# Records the game in logs/sample: five nodes, a bot at each, and in the middle the leader is killed.
#
#   cargo build --release && examples/record.sh
#
# It needs python3 for the bots and the ports of config/local.toml. RAFTIAN names another binary.
set -euo pipefail
cd "$(dirname "$0")/.."
raftian=${RAFTIAN:-target/release/raftian}
game=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$game"' EXIT

leader() { "$raftian" status --to 127.0.0.1:8001 | sed -n 's/^leader  *bob\([1-5]\)$/\1/p'; }
orders() { cat "$game/logs/bob$1/orders.log"; }

declare -A node bot
for id in 1 2 3 4 5; do
    "$raftian" serve --id $id --config config/local.toml --logs "$game/logs" --data "$game/data" \
        >"$game/ready$id" 2>&1 &
    node[$id]=$!
    until grep -qs ready "$game/ready$id"; do
        kill -0 ${node[$id]} || { cat "$game/ready$id" >&2; exit 1; }
        sleep 0.05
    done
done
until [ -n "$(leader)" ]; do sleep 0.05; done

# One after the other, as people would sit down.
for id in 1 2 3 4 5; do
    python3 examples/bot.py 127.0.0.1:800$id >/dev/null 2>&1 &
    bot[$id]=$!
    sleep 0.2
done
sleep 1
killed=$(leader)
echo "bob$killed leads, and is killed"
kill -9 ${node[$killed]}
wait ${node[$killed]} 2>/dev/null || true

alive=()
for id in 1 2 3 4 5; do
    # The killed node's bot has nobody left to talk to and ends with an error.
    wait ${bot[$id]} 2>/dev/null || true
    [ $id = $killed ] || alive+=($id)
done
# One blow too late.
dead=$(orders ${alive[0]} | sed -n 's/.*attack \([1-5]\)\thp 0\t.*/\1/p' | head -n 1)
"$raftian" attack $dead --to 127.0.0.1:800${alive[0]}
# The last word of a leader reaches the others with its next heartbeat.
for id in "${alive[@]}"; do
    until cmp -s <(orders $id) <(orders ${alive[0]}); do sleep 0.05; done
done

for id in 1 2 3 4 5; do
    mkdir -p logs/sample/bob$id
    orders $id >logs/sample/bob$id/orders.log
done
"$raftian" verify logs/sample
