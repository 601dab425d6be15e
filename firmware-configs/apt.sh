# Sourced by scripts that need Debian packages of other architectures or suites. Leaves this machine's apt unchanged.

debian_sources=/etc/apt/sources.list.d/debian.sources

# Whether this machine can fetch packages this way.
has_debian_sources() {
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null && [ -r "$debian_sources" ]
}

# Creates a private apt folder: the system's sources and keys, separate lists and architectures, no installed packages.
# Use it with: APT_CONFIG=FOLDER/apt.conf apt-get download PACKAGE:ARCHITECTURE
apt_folder() { # folder, suite or "same", architectures...
    local folder=$1 suite=$2
    shift 2
    mkdir -p "$folder"/{etc/apt/{preferences.d,sources.list.d,trusted.gpg.d},var/lib/apt/lists/partial}
    mkdir -p "$folder"/var/{cache/apt/archives/partial,lib/dpkg}
    cp -r /etc/apt/apt.conf.d "$folder/etc/apt/"
    : >"$folder/var/lib/dpkg/status"
    if [ "$suite" = same ]; then
        cp "$debian_sources" "$folder/etc/apt/sources.list.d/"
    else # the first paragraph is the archive itself, the second its security updates
        awk 'BEGIN { RS = "" } NR == 1' "$debian_sources" | sed -E "/^#/d; s/^Suites:.*/Suites: $suite/" \
            >"$folder/etc/apt/sources.list.d/debian.sources"
    fi
    cat >"$folder/apt.conf" <<CONF
Dir "$folder";
Dir::State::status "$folder/var/lib/dpkg/status";
APT::Architecture "amd64";
APT::Architectures { $(printf '"%s"; ' "$@")};
APT::Sandbox::User "root";
Acquire::Languages "none";
CONF
    APT_CONFIG=$folder/apt.conf apt-get update -qq >&2
}
