/* SPDX-License-Identifier: Apache-2.0 */
/* Leaving the guest for the host, with a call or for ever. */
#include "guest-stub/shim/kvm/shim.h"

void kvm_exit_call(uint32_t number)
{
	KVM_MAILBOX->call.number = number;
	__asm__ volatile("out %%eax, %0" : : "i"(KVM_PORT_CALL), "a"(0) : "memory");
}

_Noreturn void kvm_panic(void)
{
	for (;;)
		__asm__ volatile("out %%eax, %0" : : "i"(KVM_PORT_PANIC), "a"(0) : "memory");
}
