/* SPDX-License-Identifier: Apache-2.0 */
/* Serving an image: all that instances of it need. The opener calls. */
#ifndef THAW_KVM_SERVE_H
#define THAW_KVM_SERVE_H

#include "engine/kvm/backend.h"

/* Makes the image, for the generic way its snapshot, and starts the watch and the maker. Call
 * kvm_serve_stop() also after a failure. */
int kvm_serve_start(struct kvm_backend *backend, const struct thaw_source *source,
		    struct thaw_error *err);

/* Undoes that; the backend can serve another image afterwards. No instance may be left. */
void kvm_serve_stop(struct kvm_backend *backend);

#endif
