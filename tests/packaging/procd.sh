# Stub for rc.common and procd: runs an init script's start_service and prints the parameters it passes to procd.
#   procd.sh INIT_SCRIPT    UCI_FILE as for functions.sh; AGENT, TRANSLATE, RUN, ROOT, VERSIONS override the script's own
. "$(dirname "$0")/functions.sh"
config_get_bool() { config_get "$@"; }
logger() { sed "s/^/log: /"; }
procd_open_instance() { :; }
procd_close_instance() { :; }
procd_set_param() { echo "$*"; }
procd_add_jail() { echo "jail $*"; }
procd_add_jail_mount() { :; }
procd_add_jail_mount_rw() { :; }
script=$(sed -e "s|^AGENT=.*|AGENT=$AGENT|; s|^TRANSLATE=.*|TRANSLATE=$TRANSLATE|; s|^RUN=.*|RUN=$RUN|; s|^ROOT=.*|ROOT=$ROOT|; \
	s|^VERSIONS=.*|VERSIONS=$VERSIONS|" "$1")
eval "$script"
start_service || echo "failed"
