# Stands in for rc.common and procd: runs start_service of an init script, and prints what is handed to procd.
#   procd.sh INIT_SCRIPT    UCI_FILE as for functions.sh; AGENT, TRANSLATE, RUN: in place of the script's own
. "$(dirname "$0")/functions.sh"
config_get_bool() { config_get "$@"; }
logger() { sed "s/^/log: /"; }
procd_open_instance() { :; }
procd_close_instance() { :; }
procd_set_param() { echo "$*"; }
procd_add_jail() { echo "jail $*"; }
procd_add_jail_mount() { :; }
procd_add_jail_mount_rw() { :; }
script=$(sed -e "s|^AGENT=.*|AGENT=$AGENT|; s|^TRANSLATE=.*|TRANSLATE=$TRANSLATE|; s|^RUN=.*|RUN=$RUN|" "$1")
eval "$script"
start_service || echo "failed"
