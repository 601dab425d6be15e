# Stub for OpenWrt's /lib/functions.sh: the functions that uci-to-toml calls. Sources UCI_FILE as a shell script, which
# works for UCI syntax with values in single quotes.
config() { :; }
option() { eval "OPTION_$1=\$2"; }
list() {
	local count
	eval "count=\$((\${COUNT_$1:-0} + 1))"
	eval "COUNT_$1=$count LIST_$1_$count=\$2"
}
config_load() { . "$UCI_FILE"; }
config_get() { eval "$1=\${OPTION_$3:-\$4}"; } # variable section option default
config_list_foreach() { # section option function arguments...
	local count=0 last value name=$2 function=$3
	shift 3
	eval "last=\${COUNT_$name:-0}"
	while [ "$count" -lt "$last" ]; do
		count=$((count + 1))
		eval "value=\$LIST_${name}_$count"
		"$function" "$value" "$@"
	done
}
