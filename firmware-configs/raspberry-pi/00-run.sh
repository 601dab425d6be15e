#!/bin/sh -e
# A stage of pi-gen: copy this file to stage-lapwing/00-lapwing/00-run.sh, the .deb beside it, then add `stage-lapwing`
# to STAGE_LIST, and touch stage-lapwing/EXPORT_IMAGE. pi-gen sets ROOTFS_DIR and has on_chroot.
install -m 644 lapwing-agent_*.deb "$ROOTFS_DIR/tmp/"
on_chroot <<END
dpkg --install /tmp/lapwing-agent_*.deb
rm /tmp/lapwing-agent_*.deb
END
