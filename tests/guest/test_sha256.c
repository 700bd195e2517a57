/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256: the vectors of FIPS 180-4's examples, with the input cut in every way. */
#include <criterion/criterion.h>

#include "guest-stub/functions/sha256_digest.h"
#include "tests/guest/native.h"

static void digest_of(const void *bytes, size_t length, char hex[65])
{
	uint8_t digest[SHA256_SIZE];
	struct sha256_state state;

	sha256_begin(&state);
	sha256_add(&state, bytes, length);
	sha256_end(&state, digest);
	for (unsigned i = 0; i < SHA256_SIZE; i++)
		sprintf(hex + 2 * i, "%02x", digest[i]);
}

Test(sha256, known_digests)
{
	static const struct {
		const char *text, *digest;
	} known[] = {
		{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
		{"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqk"
		 "lmnopqrlmnopqrsmnop"
		 "qrstnopqrstu",
		 "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
	};
	static uint8_t million[1000000];
	char hex[65];

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		digest_of(known[i].text, strlen(known[i].text), hex);
		cr_assert_str_eq(hex, known[i].digest);
	}
	memset(million, 'a', sizeof(million));
	digest_of(million, sizeof(million), hex);
	cr_assert_str_eq(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

Test(sha256, pieces_make_no_difference)
{
	uint8_t bytes[300], digest[SHA256_SIZE];
	char whole[65], pieces[65];
	uint64_t state = 5;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)native_random(&state);
	for (size_t length = 0; length <= sizeof(bytes); length++) {
		struct sha256_state running;
		size_t done = 0;

		digest_of(bytes, length, whole);
		sha256_begin(&running);
		while (done < length) {
			size_t take = 1 + native_random(&state) % 100;

			take = take < length - done ? take : length - done;
			sha256_add(&running, bytes + done, take);
			done += take;
		}
		sha256_end(&running, digest);
		for (unsigned i = 0; i < SHA256_SIZE; i++)
			sprintf(pieces + 2 * i, "%02x", digest[i]);
		cr_assert_str_eq(pieces, whole, "length %zu", length);
	}
}
