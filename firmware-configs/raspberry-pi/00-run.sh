#!/bin/sh -e
# A pi-gen stage. Copy this file to stage-lapwing/00-lapwing/00-run.sh and the .deb next to it, add `stage-lapwing` to
# STAGE_LIST, and touch stage-lapwing/EXPORT_IMAGE. pi-gen provides ROOTFS_DIR and on_chroot.
install -m 644 lapwing-agent_*.deb "$ROOTFS_DIR/tmp/"
on_chroot <<END
dpkg --install /tmp/lapwing-agent_*.deb
rm /tmp/lapwing-agent_*.deb
END
