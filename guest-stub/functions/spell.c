/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A spelling checker. For each distinct word of the request that is not in the dictionary, it
 * answers with a line of the nearest words that are: "borwn: brown, born". The lines are in the
 * order of first appearance. The answer is empty when nothing is wrong. Upper and lower case are
 * equal.
 *
 * The boot builds dictionary and index once. An invocation reads them and writes only to its stack,
 * so that few pages are copied. The status is 1 when the request is not UTF-8; the parts of it that
 * are UTF-8 are checked all the same.
 */
#include <thaw/guest.h>

#include "guest-stub/functions/spell_index.h"
#include "guest-stub/functions/spell_text.h"

#define SUGGESTIONS  5u
#define REPORTED_FEW 64u

extern const char spell_words[], spell_words_end[];

static struct spell_dictionary dictionary;
static struct spell_index word_index;

/* Hashes of the words that have their line already. */
struct reported {
	uint64_t *slots;	    /* 0: free */
	size_t size, used;	    /* size is a power of two */
	uint64_t few[REPORTED_FEW]; /* the first slots; a larger table is on the heap */
};

struct check {
	struct thaw_invocation *invocation;
	struct reported reported;
};

/* FNV-1a; never 0. */
static uint64_t hash(const uint8_t *letters, size_t length)
{
	uint64_t value = 0xcbf29ce484222325u;

	for (size_t i = 0; i < length; i++)
		value = (value ^ letters[i]) * 0x100000001b3u;
	return value | 1;
}

/* Returns false when VALUE was there already. */
static bool insert(uint64_t *slots, size_t size, uint64_t value)
{
	for (size_t at = value >> 1 & (size - 1);; at = (at + 1) & (size - 1)) {
		if (slots[at] == value)
			return false;
		if (slots[at] == 0) {
			slots[at] = value;
			return true;
		}
	}
}

static void enlarge(struct reported *reported)
{
	size_t size = reported->size * 4;
	uint64_t *slots = calloc(size, sizeof(*slots));

	if (!slots)
		thaw_abort("too many misspelt words for the memory limit");
	for (size_t i = 0; i < reported->size; i++)
		if (reported->slots[i])
			insert(slots, size, reported->slots[i]);
	if (reported->slots != reported->few)
		free(reported->slots);
	reported->slots = slots;
	reported->size = size;
}

static bool report_once(struct reported *reported, const struct spell_token *token)
{
	if (!insert(reported->slots, reported->size, hash(token->letters, token->length)))
		return false;
	if (++reported->used > reported->size / 2)
		enlarge(reported);
	return true;
}

static void print_word(struct thaw_invocation *invocation, const struct spell_word *word)
{
	for (unsigned i = 0; i < word->length; i++) {
		uint32_t code = word->letters[i];

		if (word->capitals >> i & 1)
			code -= 0x20;
		if (code < 0x80)
			thaw_printf(invocation, "%c", (int)code);
		else
			thaw_printf(invocation, "%c%c", (int)(0xc0 | code >> 6),
				    (int)(0x80 | (code & 0x3f)));
	}
}

static void report(struct thaw_invocation *invocation, const struct spell_token *token)
{
	bool possessive = spell_is_possessive(token->letters, token->length);
	struct spell_suggestion suggestions[SUGGESTIONS];
	size_t count =
		spell_index_suggest(&word_index, token->letters,
				    token->length - (possessive ? 2 : 0), suggestions, SUGGESTIONS);

	thaw_write(invocation, token->text, token->text_length);
	thaw_print(invocation, count > 0 ? ": " : ": (no suggestions)");
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			thaw_print(invocation, ", ");
		print_word(invocation, &dictionary.words[suggestions[i].word]);
		if (possessive)
			thaw_print(invocation, "'s");
	}
	thaw_print(invocation, "\n");
}

static void check_word(void *context, const struct spell_token *token)
{
	struct check *check = context;

	if (!spell_dictionary_knows(&dictionary, token->letters, token->length) &&
	    report_once(&check->reported, token))
		report(check->invocation, token);
}

static int spell(struct thaw_invocation *invocation)
{
	struct check check = {.invocation = invocation};
	struct spell_text text = {.word = check_word, .context = &check};
	const void *piece;
	long length;

	check.reported.slots = check.reported.few;
	check.reported.size = REPORTED_FEW;
	while ((length = thaw_read_piece(invocation, &piece)) > 0)
		spell_text_add(&text, piece, (size_t)length);
	if (length < 0)
		thaw_abort("the host failed to deliver the request");
	spell_text_end(&text);
	if (text.invalid)
		thaw_log("the request is not UTF-8 text");
	return text.invalid ? 1 : 0;
}

int main(void)
{
	uint64_t start = thaw_monotonic_ns();

	if (spell_dictionary_build(&dictionary, spell_words,
				   (size_t)(spell_words_end - spell_words)) < 0 ||
	    spell_index_build(&word_index, &dictionary) < 0)
		thaw_abort("the word list needs more memory than there is");
	thaw_log("%u words (%u without possessives) in an index of %u entries, in %llu ms",
		 dictionary.listed, dictionary.count, word_index.count,
		 (unsigned long long)(thaw_monotonic_ns() - start) / 1000000);
	thaw_serve(spell);
}
