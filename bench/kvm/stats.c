/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU's counters; see stats.h. Documentation/virt/kvm/api.rst, 4.133. */
#include "bench/kvm/stats.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define NAME_MAX_BYTES 256u
#define STATS_MAX      512u

static int read_one(int fd, const struct kvm_stats_header *header,
		    const struct kvm_stats_desc *descriptor, uint64_t *value)
{
	return pread(fd, value, sizeof(*value), (off_t)header->data_offset + descriptor->offset) ==
			       (ssize_t)sizeof(*value)
		       ? 0
		       : -1;
}

static int find(int fd, const struct kvm_stats_header *header, const char *name, uint64_t *value)
{
	char room[sizeof(struct kvm_stats_desc) + NAME_MAX_BYTES];
	struct kvm_stats_desc *descriptor = (struct kvm_stats_desc *)room;
	size_t size = sizeof(*descriptor) + header->name_size;

	for (uint32_t i = 0; i < header->num_desc; i++) {
		if (pread(fd, room, size, (off_t)(header->desc_offset + i * size)) != (ssize_t)size)
			return -1;
		if (strncmp(descriptor->name, name, header->name_size) == 0)
			return read_one(fd, header, descriptor, value);
	}
	errno = ENOENT;
	return -1;
}

int kvm_stats_read(int vcpu_fd, struct kvm_counts *out)
{
	int fd = ioctl(vcpu_fd, KVM_GET_STATS_FD, 0L), result = -1;
	struct kvm_stats_header header;
	uint64_t exits, irq_exits;

	if (fd < 0)
		return -1;
	if (pread(fd, &header, sizeof(header), 0) == (ssize_t)sizeof(header) &&
	    header.name_size <= NAME_MAX_BYTES && header.num_desc <= STATS_MAX &&
	    !find(fd, &header, "exits", &exits) && !find(fd, &header, "irq_exits", &irq_exits) &&
	    !find(fd, &header, "pf_taken", &out->pf_taken)) {
		out->exits = exits - irq_exits;
		result = 0;
	}
	close(fd);
	return result;
}
