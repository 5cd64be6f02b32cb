/*
 * The numbers of system calls. They are the kernel's ABI and never change, while a C library's headers
 * may not know the newer ones; the unit test compares with the headers where those do.
 * Source: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h of the kernel.
 */
#include "isolate/seccomp_impl.h"

#define BOTH(n)                                                                                    \
	{                                                                                          \
		n, n                                                                               \
	} /* since 424 a call has the same number everywhere */

const struct call_info seccomp_calls[CALL_COUNT] = {
	/*                           x86_64, aarch64 */
	[CALL_ADD_KEY] = {"add_key", {248, 217}},
	[CALL_BPF] = {"bpf", {321, 280}},
	[CALL_CLONE] = {"clone", {56, 220}},
	[CALL_CLONE3] = {"clone3", BOTH(435)},
	[CALL_DELETE_MODULE] = {"delete_module", {176, 106}},
	[CALL_EXECVEAT] = {"execveat", {322, 281}},
	[CALL_FINIT_MODULE] = {"finit_module", {313, 273}},
	[CALL_FSCONFIG] = {"fsconfig", BOTH(431)},
	[CALL_FSMOUNT] = {"fsmount", BOTH(432)},
	[CALL_FSOPEN] = {"fsopen", BOTH(430)},
	[CALL_FSPICK] = {"fspick", BOTH(433)},
	[CALL_INIT_MODULE] = {"init_module", {175, 105}},
	[CALL_IOCTL] = {"ioctl", {16, 29}},
	[CALL_IO_URING_ENTER] = {"io_uring_enter", BOTH(426)},
	[CALL_IO_URING_REGISTER] = {"io_uring_register", BOTH(427)},
	[CALL_IO_URING_SETUP] = {"io_uring_setup", BOTH(425)},
	[CALL_KEXEC_FILE_LOAD] = {"kexec_file_load", {320, 294}},
	[CALL_KEXEC_LOAD] = {"kexec_load", {246, 104}},
	[CALL_KEYCTL] = {"keyctl", {250, 219}},
	[CALL_MEMFD_CREATE] = {"memfd_create", {319, 279}},
	[CALL_MOUNT] = {"mount", {165, 40}},
	[CALL_MOUNT_SETATTR] = {"mount_setattr", BOTH(442)},
	[CALL_MOVE_MOUNT] = {"move_mount", BOTH(429)},
	[CALL_OPEN_TREE] = {"open_tree", BOTH(428)},
	[CALL_OPEN_TREE_ATTR] = {"open_tree_attr", BOTH(467)},
	[CALL_PERF_EVENT_OPEN] = {"perf_event_open", {298, 241}},
	[CALL_PIDFD_GETFD] = {"pidfd_getfd", BOTH(438)},
	[CALL_PIDFD_OPEN] = {"pidfd_open", BOTH(434)},
	[CALL_PIDFD_SEND_SIGNAL] = {"pidfd_send_signal", BOTH(424)},
	[CALL_PIVOT_ROOT] = {"pivot_root", {155, 41}},
	[CALL_PRLIMIT64] = {"prlimit64", {302, 261}},
	[CALL_PROCESS_VM_READV] = {"process_vm_readv", {310, 270}},
	[CALL_PROCESS_VM_WRITEV] = {"process_vm_writev", {311, 271}},
	[CALL_PTRACE] = {"ptrace", {101, 117}},
	[CALL_REQUEST_KEY] = {"request_key", {249, 218}},
	[CALL_SECCOMP] = {"seccomp", {317, 277}},
	[CALL_SETNS] = {"setns", {308, 268}},
	[CALL_SOCKET] = {"socket", {41, 198}},
	[CALL_UMOUNT2] = {"umount2", {166, 39}},
	[CALL_UNSHARE] = {"unshare", {272, 97}},
	[CALL_USERFAULTFD] = {"userfaultfd", {323, 282}},
};
