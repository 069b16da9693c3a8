#!/bin/sh
# The workbench in a real terminal (tmux): what a frame test cannot see. Waits for text with a deadline, never for a fixed
# time. Each case has its own tmux server and workspace, so none waits for another one's end.
set -u
top=${TS_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
program=${TS_BINARY:-$top/build/release/tunesmith}
tools=$(dirname "$program")/tests
[ -x "$tools/make_tiny_model" ] || tools=$(dirname "$program")
passed=0 failed=0
if ! command -v tmux >/dev/null; then
    echo "skipped: tmux is not installed"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
work=$(mktemp -d)
server=
cleanup() {
    [ -z "$server" ] || tmux -L "$server" kill-server 2>/dev/null
    for pid in $(cat "$work"/*/runs/*/lock 2>/dev/null | awk '{print $NF}'); do kill -9 "$pid" 2>/dev/null; done
    rm -rf "$work"
}
trap cleanup EXIT
export LC_ALL=C.UTF-8 TZ=UTC TUNESMITH_MODELS="$work/models"
unset NO_COLOR VISUAL EDITOR TMUX

t() { tmux -L "$server" "$@"; }
screen() { t capture-pane -p; }
keys() { t send-keys "$@"; }

# wait_for TEXT [gone]: until it is (not) on the screen, 20 s at most.
wait_for() {
    tries=0
    while [ $tries -lt 400 ]; do
        if screen | grep -qF -e "$1"; then found=yes; else found=; fi
        [ "${2:-}" = gone ] && [ -z "$found" ] && return 0
        [ "${2:-}" != gone ] && [ -n "$found" ] && return 0
        tries=$((tries + 1))
        sleep 0.05
    done
    echo "waited in vain for: $1 ${2:-}"
    screen
    return 1
}

# A new workspace with the sample rows, and a shell in a terminal of its own.
setup() { # NAME [WIDTH HEIGHT]
    ws_name=$1
    ws=$work/$ws_name
    "$program" init "$ws" >/dev/null 2>&1 && "$program" import "$ws" "$top/samples/helpdesk.jsonl" >/dev/null 2>&1 || return 1
    [ -z "$server" ] || tmux -L "$server" kill-server 2>/dev/null
    server=ts-$$-$ws_name
    tmux -L "$server" -f /dev/null new-session -d -x "${2:-80}" -y "${3:-24}" "env PS1='shell> ' sh -i" || return 1
    wait_for "shell>"
}
open() { keys "$* $program $ws" Enter && wait_for "[1 Browse]" && wait_for "/ 305"; }

case_start_and_quit() {
    setup start && open && keys q && wait_for "shell>" || return 1
    keys 'clear; echo "code $?"; stty -a | tr ";" "\n" | grep -c -e "[^-]icanon" -e "[^-]echo "' Enter
    wait_for "code 0" && wait_for "1"
}

case_paste_is_no_command() {
    setup paste && open || return 1
    t set-buffer "qa" && t paste-buffer -p && wait_for "pasted text ignored" && wait_for "0 accepted"
}

case_resize_with_a_dialog() {
    setup resize 100 30 && open && keys '?' && wait_for "type to search" || return 1
    t resize-window -x 70 -y 20 && wait_for "type to search" && t resize-window -x 40 -y 10 || return 1
    wait_for "needs 60x16" && t resize-window -x 90 -y 25 && wait_for "type to search" && keys Escape || return 1
    wait_for "/ 305"
}

case_suspend_and_return() {
    setup suspend && open && keys j && wait_for "2 / 305" && keys C-z && wait_for "Stopped" || return 1
    keys 'clear; echo typed' Enter && wait_for "typed" && keys fg Enter && wait_for "2 / 305" && keys j && wait_for "3 / 305"
}

case_editor() {
    setup editor || return 1
    printf '#!/bin/sh\nsed -i "s/HEIC/JPEG-XL/" "$1"\n' >"$work/my editor"
    chmod +x "$work/my editor"
    open "EDITOR=\"'$work/my editor'\"" && keys E && wait_for "JPEG-XL" && wait_for "[1 Browse]" && keys Escape u && wait_for "HEIC"
}

case_sigterm_gives_the_terminal_back() {
    setup sigterm && open || return 1
    pkill_pid=$(t list-panes -F '#{pane_pid}')
    child=$(ps -o pid= --ppid "$pkill_pid" | head -1)
    kill -TERM "$child" && wait_for "shell>" || return 1
    keys 'clear; stty -a | grep -o -e "[-]*icanon" -e " [-]*echo "' Enter
    wait_for "icanon" && wait_for "-icanon" gone
}

case_no_color() {
    setup mono && open NO_COLOR=1 || return 1
    if t capture-pane -p -e | grep -q "$(printf '\033')\\[[0-9;]*3[0-7]m"; then
        echo "colours in spite of NO_COLOR"
        return 1
    fi
}

case_a_run_outlives_the_screen() {
    setup run 100 30 || return 1
    mkdir -p "$work/models/tiny"
    "$tools/make_tiny_model" "$work/models/tiny/tiny.gguf" >/dev/null 2>&1 || return 1
    "$program" config "$ws" model tiny >/dev/null 2>&1 || return 1
    "$program" set "$ws" --where 'id<=20' --status accepted >/dev/null 2>&1 || return 1
    open && keys T && wait_for "trainable params" && keys Tab Tab Tab Tab Tab Tab Tab Tab Tab Tab Tab || return 1
    # from the Start button: Leave, Time, rows, model, preset, targets, r, alpha, dropout, epochs
    wait_for "epochs" && keys C-e C-u 500000 Enter && keys C-s && wait_for "[4 Runs]" && wait_for "running" || return 1
    shell=$(t list-panes -F '#{pane_pid}')
    kill -9 "$(ps -o pid= --ppid "$shell" | head -1)" && wait_for "shell>" || return 1
    keys "stty sane; reset; clear" C-j && wait_for "run 1" gone
    open && keys 4 && wait_for "running" && first=$(screen | grep -o "step [0-9]*" | head -1) && wait_for "$first" gone || return 1
    keys c && wait_for "Stop training?" && keys y && wait_for "stopped"
}

case_no_terminal() {
    setup none || return 1
    "$program" "$ws" </dev/null >"$work/out" 2>"$work/err"
    [ $? = 2 ] && [ "$(wc -l <"$work/err")" = 1 ] && grep -q "needs a terminal" "$work/err" || return 1
    keys "clear; TERM=dumb $program $ws; echo code \$?" Enter && wait_for "cannot place its cursor" && wait_for "code 2"
}

for name in start_and_quit paste_is_no_command resize_with_a_dialog suspend_and_return editor \
    sigterm_gives_the_terminal_back no_color a_run_outlives_the_screen no_terminal; do
    if "case_$name"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "not ok $name"
    fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
