//! The system calls that the process may make from now on (seccomp). All others fail with "function not implemented", on
//! which C libraries fall back to older calls.
//!
//! The list comes from tracing the agent in its tests, with glibc and musl. To extend it, run with
//! `resources.seccomp-log-only = true`: calls outside the list are then logged by the kernel (`dmesg`, records of type
//! 1326) and still work. Arguments are checked where a call would do more than the agent needs.

/// What happens to calls outside the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// They fail.
    Enforce,
    /// They work, and the kernel logs them.
    LogOnly,
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
pub(super) fn restrict(_: Mode) -> Result<(), String> {
    Err(format!("not supported on {}", std::env::consts::ARCH))
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
pub(super) use filter::restrict;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
mod filter {
    use super::Mode;
    use libc::c_long;
    use seccompiler::{
        BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp, SeccompCondition,
        SeccompFilter, SeccompRule, apply_filter,
    };
    use std::collections::BTreeMap;

    /// Allowed with any arguments.
    const CALLS: &[c_long] = &[
        // Memory. `mmap` and `mprotect` are below.
        libc::SYS_brk,
        libc::SYS_madvise,
        libc::SYS_membarrier,
        libc::SYS_mremap,
        libc::SYS_munmap,
        // Threads, signals, end. `clone` is below.
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_futex,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_restart_syscall,
        libc::SYS_rseq,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sched_getaffinity,
        libc::SYS_sched_yield,
        libc::SYS_set_robust_list,
        libc::SYS_set_tid_address,
        libc::SYS_sigaltstack,
        // Time.
        libc::SYS_clock_getres,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_gettimeofday,
        libc::SYS_nanosleep,
        // Files; Landlock and permissions decide which.
        libc::SYS_close,
        libc::SYS_dup,
        libc::SYS_dup3,
        libc::SYS_faccessat,
        libc::SYS_fchmod,
        libc::SYS_fchmodat,
        libc::SYS_fcntl,
        libc::SYS_fdatasync,
        libc::SYS_flock,
        libc::SYS_fstat,
        libc::SYS_fsync,
        libc::SYS_ftruncate,
        libc::SYS_getcwd,
        libc::SYS_getdents64,
        libc::SYS_lseek,
        libc::SYS_mkdirat,
        libc::SYS_newfstatat,
        libc::SYS_openat,
        libc::SYS_pipe2,
        libc::SYS_pread64,
        libc::SYS_pwrite64,
        libc::SYS_read,
        libc::SYS_readlinkat,
        libc::SYS_readv,
        libc::SYS_renameat2,
        libc::SYS_statx,
        libc::SYS_unlinkat,
        libc::SYS_write,
        libc::SYS_writev,
        // Waiting.
        libc::SYS_epoll_create1,
        libc::SYS_epoll_ctl,
        libc::SYS_epoll_pwait,
        libc::SYS_eventfd2,
        libc::SYS_ppoll,
        libc::SYS_pselect6,
        // Sockets. `socket` is below.
        libc::SYS_accept,
        libc::SYS_accept4,
        libc::SYS_bind,
        libc::SYS_connect,
        libc::SYS_getpeername,
        libc::SYS_getsockname,
        libc::SYS_getsockopt,
        libc::SYS_listen,
        libc::SYS_recvfrom,
        libc::SYS_recvmmsg,
        libc::SYS_recvmsg,
        libc::SYS_sendmmsg,
        libc::SYS_sendmsg,
        libc::SYS_sendto,
        libc::SYS_setsockopt,
        libc::SYS_shutdown,
        libc::SYS_socketpair,
        // The process and the system.
        libc::SYS_getegid,
        libc::SYS_geteuid,
        libc::SYS_getgid,
        libc::SYS_getrandom,
        libc::SYS_getrusage,
        libc::SYS_getuid,
        libc::SYS_sysinfo,
        libc::SYS_uname,
    ];

    /// Older forms of these, which only this architecture has.
    #[cfg(target_arch = "x86_64")]
    const OLDER_CALLS: &[c_long] = &[
        libc::SYS_access,
        libc::SYS_arch_prctl,
        libc::SYS_chmod,
        libc::SYS_dup2,
        libc::SYS_epoll_create,
        libc::SYS_epoll_wait,
        libc::SYS_getdents,
        libc::SYS_lstat,
        libc::SYS_mkdir,
        libc::SYS_open,
        libc::SYS_pipe,
        libc::SYS_poll,
        libc::SYS_readlink,
        libc::SYS_rename,
        libc::SYS_renameat,
        libc::SYS_rmdir,
        libc::SYS_select,
        libc::SYS_stat,
        libc::SYS_time,
        libc::SYS_unlink,
    ];
    #[cfg(target_arch = "aarch64")]
    const OLDER_CALLS: &[c_long] = &[libc::SYS_renameat];
    #[cfg(target_arch = "riscv64")]
    const OLDER_CALLS: &[c_long] = &[];

    /// `CLONE_NEW…`: namespaces of its own, in which a process has every capability.
    const NAMESPACES: u64 = 0x7e02_0000;
    /// Address families: local, IPv4, IPv6, and netlink, with which C libraries list addresses.
    const FAMILIES: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    /// `PR_SET_VMA`: names of memory areas, set by C libraries.
    const PR_SET_VMA: u64 = 0x5356_4d41;

    type Rules = BTreeMap<i64, Vec<SeccompRule>>;

    /// Restricts this thread, and those that it starts.
    pub(in crate::confine) fn restrict(mode: Mode) -> Result<(), String> {
        let architecture = std::env::consts::ARCH.try_into().map_err(|error: BackendError| error.to_string())?;
        let refusal = match mode {
            Mode::Enforce => SeccompAction::Errno(libc::ENOSYS as u32),
            Mode::LogOnly => SeccompAction::Log,
        };
        let rules = rules(std::process::id()).map_err(|error| error.to_string())?;
        let filter = SeccompFilter::new(rules, refusal, SeccompAction::Allow, architecture);
        let program: Result<BpfProgram, _> = filter.and_then(TryInto::try_into);
        apply_filter(&program.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
    }

    /// Call numbers → conditions, of which one must hold; none: always allowed.
    pub(super) fn rules(process: u32) -> Result<Rules, BackendError> {
        let mut rules: Rules = CALLS.iter().chain(OLDER_CALLS).map(|number| (*number, Vec::new())).collect();
        let thread = libc::CLONE_THREAD as u64;
        rules.insert(libc::SYS_clone, vec![when(0, SeccompCmpOp::MaskedEq(NAMESPACES | thread), thread)?]);
        for call in [libc::SYS_mmap, libc::SYS_mprotect] {
            rules.insert(call, vec![when(2, SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64), 0)?]);
        }
        rules.insert(libc::SYS_socket, any_of(0, FAMILIES.map(|family| family as u64))?);
        rules.insert(libc::SYS_prctl, any_of(0, [libc::PR_SET_NAME as u64, PR_SET_VMA])?);
        #[allow(clippy::unnecessary_cast, reason = "the types of these numbers differ between C libraries")]
        let requests = [
            libc::SIOCGIFINDEX as u64,
            libc::SIOCGIFHWADDR as u64,
            libc::SIOCGIFFLAGS as u64,
            libc::FIONBIO as u64,
            libc::FIONREAD as u64,
            libc::TCGETS as u64,
            libc::TIOCGWINSZ as u64,
        ];
        rules.insert(libc::SYS_ioctl, any_of(1, requests)?);
        // A panic ends with a signal to the process itself.
        rules.insert(libc::SYS_tgkill, vec![when(0, SeccompCmpOp::Eq, u64::from(process))?]);
        // Limits may be read, not set.
        let read = SeccompCondition::new(2, Length::Qword, SeccompCmpOp::Eq, 0)?;
        rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![read])?]);
        Ok(rules)
    }

    /// The 32-bit argument at this place has the value.
    fn when(place: u8, operation: SeccompCmpOp, value: u64) -> Result<SeccompRule, BackendError> {
        SeccompRule::new(vec![SeccompCondition::new(place, Length::Dword, operation, value)?])
    }

    fn any_of<const N: usize>(place: u8, values: [u64; N]) -> Result<Vec<SeccompRule>, BackendError> {
        values.into_iter().map(|value| when(place, SeccompCmpOp::Eq, value)).collect()
    }
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Write};

    #[test]
    fn calls_that_gain_privileges_or_reach_other_processes_are_not_on_the_list() {
        let rules = filter::rules(1).unwrap();
        let refused = [
            libc::SYS_bpf,
            libc::SYS_chroot,
            libc::SYS_clone3,
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_fsopen,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_io_uring_setup,
            libc::SYS_kexec_file_load,
            libc::SYS_keyctl,
            libc::SYS_kill,
            libc::SYS_mount,
            libc::SYS_mount_setattr,
            libc::SYS_move_mount,
            libc::SYS_name_to_handle_at,
            libc::SYS_open_by_handle_at,
            libc::SYS_open_tree,
            libc::SYS_perf_event_open,
            libc::SYS_pidfd_getfd,
            libc::SYS_pidfd_open,
            libc::SYS_process_vm_writev,
            libc::SYS_ptrace,
            libc::SYS_reboot,
            libc::SYS_setns,
            libc::SYS_setuid,
            libc::SYS_unshare,
            libc::SYS_userfaultfd,
        ];
        for number in refused {
            assert!(!rules.contains_key(&number), "call {number}");
        }
        for number in [libc::SYS_clone, libc::SYS_socket, libc::SYS_ioctl, libc::SYS_prctl, libc::SYS_mmap] {
            assert!(!rules[&number].is_empty(), "call {number} is allowed with any arguments");
        }
    }

    /// Ordinary work: memory, threads, files, sockets, name resolution.
    fn work(folder: &std::path::Path) -> std::io::Result<()> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let client = std::thread::spawn(move || std::net::TcpStream::connect(address)?.write_all(b"hello"));
        let mut text = String::new();
        listener.accept()?.0.read_to_string(&mut text)?;
        client.join().map_err(|_| ErrorKind::Other)??;
        let file = folder.join("file");
        std::fs::write(&file, vec![7; 1 << 20])?;
        std::fs::File::open(&file)?.sync_all()?;
        std::fs::rename(&file, folder.join("renamed"))?;
        std::fs::remove_file(folder.join("renamed"))?;
        std::fs::read_dir(folder)?.count();
        std::net::ToSocketAddrs::to_socket_addrs(&("localhost", 1))?.count();
        Ok(())
    }

    #[test]
    fn ordinary_work_goes_on_and_other_calls_fail() {
        let folder = std::env::temp_dir().join(format!("lapwing-calls-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let within = folder.clone();
        // Restrictions are per thread.
        let tried = std::thread::spawn(move || {
            let shell = || std::process::Command::new("/bin/true").status().map(|status| status.success());
            filter::restrict(Mode::LogOnly).unwrap();
            assert!(shell().unwrap(), "calls work while they are only logged");
            filter::restrict(Mode::Enforce).unwrap();
            work(&within).unwrap();
            let unsupported = |error: std::io::Error| error.raw_os_error() == Some(libc::ENOSYS);
            assert!(unsupported(shell().unwrap_err()));
            assert!(unsupported(std::os::unix::fs::chown(&within, None, None).unwrap_err()));
            assert!(unsupported(lapwing_live::rights::set_nice(1).unwrap_err()));
        });
        tried.join().unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
