/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spelling checker's parts: the index against a scan of the whole dictionary with a distance of
 * the test's own, the mistakes that people make, and text that is cut anywhere.
 */
#include <criterion/criterion.h>
#include <ctype.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-stub/functions/spell_distance.h"
#include "guest-stub/functions/spell_index.h"
#include "guest-stub/functions/spell_text.h"
#include "tests/guest/native.h"

#define ALL 20000u

static struct spell_dictionary dictionary;
static struct spell_index word_index;
static uint64_t state = 3;

static size_t below(size_t limit)
{
	return native_random(&state) % limit;
}

static void load(void)
{
	int fd = open(WORDLIST, O_RDONLY | O_CLOEXEC);
	struct stat info;
	const char *list;

	cr_assert(fd >= 0 && fstat(fd, &info) == 0, WORDLIST);
	list = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	cr_assert_neq(list, MAP_FAILED);
	close(fd);
	cr_assert_eq(spell_dictionary_build(&dictionary, list, (size_t)info.st_size), 0);
	cr_assert_eq(spell_index_build(&word_index, &dictionary), 0);
}

static void unload(void)
{
	spell_index_free(&word_index);
	spell_dictionary_free(&dictionary);
}

TestSuite(spell, .init = load, .fini = unload);

/* ---- The dictionary ---- */

static bool knows(const char *word)
{
	return spell_dictionary_knows(&dictionary, (const uint8_t *)word, strlen(word));
}

Test(spell, every_word_is_found_and_the_list_is_sorted)
{
	cr_assert_gt(dictionary.count, 60000, "a real word list has more");
	for (uint32_t i = 0; i < dictionary.count; i++) {
		const struct spell_word *word = &dictionary.words[i];

		cr_assert_eq(spell_dictionary_find(&dictionary, word->letters, word->length), i);
		if (i > 0)
			cr_assert_lt(memcmp(word[-1].letters, word->letters, SPELL_LETTERS_MAX), 0);
	}
}

Test(spell, knows_words_and_nothing_else)
{
	static const char *const words[] = {"the",   "a",	"fox",	   "fox's", "isn't",
					    "paris", "paris's", "caf\xe9", "zoo"};
	static const char *const others[] = {
		"teh",		"borwn",  "fox'ss",
		"'s",		"xyzzyq", "foxx's",
		"zzzzzzzzzzzz", "aaaa",	  "antidisestablishmentarianismistically"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		cr_assert(knows(words[i]), "%s", words[i]);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		cr_assert_not(knows(others[i]), "%s", others[i]);
}

Test(spell, dictionary_of_odd_lists)
{
	static const char list[] =
		"b\n\nB\nb's\nnot a word\nc3\n\xff\nzebra\n\xc3\x89t\xc3\xa9\ncut short\xc3";
	struct spell_dictionary small;

	cr_assert_eq(spell_dictionary_build(&small, list, sizeof(list) - 1), 0);
	cr_assert_eq(small.count, 3);
	cr_assert_eq(small.words[0].capitals, 0, "of b and B the small one stays");
	cr_assert_eq(small.words[2].length, 3, "\xc3\x89t\xc3\xa9 is three letters");
	cr_assert_eq(small.words[2].capitals, 1);
	spell_dictionary_free(&small);
	cr_assert_eq(spell_dictionary_build(&small, "", 0), 0);
	cr_assert_eq(spell_dictionary_find(&small, (const uint8_t *)"a", 1), SPELL_NOT_FOUND);
	spell_dictionary_free(&small);
}

/* ---- The distance ---- */

/* The textbook's recurrence, whole table, no weights: edits between neighbours at most once each.
 */
static unsigned plain_distance(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length)
{
	static unsigned table[64][64];

	for (size_t i = 0; i <= a_length; i++) {
		for (size_t j = 0; j <= b_length; j++) {
			unsigned best = (unsigned)(i + j);

			if (i > 0 && j > 0) {
				unsigned changed = table[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
				unsigned shorter = table[i - 1][j] + 1,
					 longer = table[i][j - 1] + 1;

				best = changed < shorter ? changed : shorter;
				best = best < longer ? best : longer;
				if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
				    a[i - 2] == b[j - 1] && table[i - 2][j - 2] + 1 < best)
					best = table[i - 2][j - 2] + 1;
			}
			table[i][j] = best;
		}
	}
	return table[a_length][b_length];
}

Test(spell, distance_counts_edits_as_the_textbook_does)
{
	for (unsigned round = 0; round < 200000; round++) {
		uint8_t a[12], b[12];
		size_t a_length = below(9), b_length = below(9);
		unsigned edits = 1 + (unsigned)below(2), want;
		uint32_t got;

		/* Few letters, so that near pairs are frequent. */
		for (size_t i = 0; i < sizeof(a); i++) {
			a[i] = (uint8_t)('a' + below(3));
			b[i] = (uint8_t)('a' + below(3));
		}
		want = plain_distance(a, a_length, b, b_length);
		got = spell_distance(a, a_length, b, b_length, edits);
		if (want > edits)
			cr_assert_eq(got, SPELL_TOO_FAR, "%.*s %.*s", (int)a_length, a,
				     (int)b_length, b);
		else
			cr_assert_eq(got / SPELL_EDIT, want, "%.*s %.*s", (int)a_length, a,
				     (int)b_length, b);
	}
}

/* ---- The index ---- */

/* Changes WORD like a hasty writer. Returns its new length. */
static size_t mistype(uint8_t *word, size_t length)
{
	size_t at = below(length);
	uint8_t letter = (uint8_t)('a' + below(26)), other;

	switch (below(4)) {
	case 0: /* one too many */
		memmove(word + at + 1, word + at, length - at);
		word[at] = letter;
		return length + 1;
	case 1: /* one missing */
		if (length < 3)
			return length;
		memmove(word + at, word + at + 1, length - at - 1);
		return length - 1;
	case 2:
		if (at + 1 == length)
			return length;
		other = word[at];
		word[at] = word[at + 1];
		word[at + 1] = other;
		return length;
	default:
		word[at] = letter;
		return length;
	}
}

/* How many words are within EDITS of LETTERS, by looking at each. */
static size_t count_near(const uint8_t *letters, size_t length, unsigned edits)
{
	size_t count = 0;

	for (uint32_t i = 0; i < dictionary.count; i++) {
		const struct spell_word *word = &dictionary.words[i];
		size_t difference =
			length > word->length ? length - word->length : word->length - length;

		if (difference <= edits)
			count += plain_distance(letters, length, word->letters, word->length) <=
				 edits;
	}
	return count;
}

static void check_against_scan(const uint8_t *letters, size_t length)
{
	static struct spell_suggestion found[ALL];
	size_t count = spell_index_suggest(&word_index, letters, length, found, ALL), near = 0,
	       last = 0;
	size_t one = count_near(letters, length, 1);

	for (size_t i = 0; i < count; i++) {
		const struct spell_word *word = &dictionary.words[found[i].word];
		unsigned edits = plain_distance(letters, length, word->letters, word->length);

		near += edits <= 1;
		cr_assert_geq(edits, last, "%.*s: further words before nearer ones", (int)length,
			      letters);
		last = edits;
	}
	cr_assert_eq(near, one, "%.*s: %zu words at one edit, not %zu", (int)length, letters, near,
		     one);
	if (length > 3 && one < SPELL_SUGGESTIONS_ENOUGH)
		cr_assert_eq(count, count_near(letters, length, 2), "%.*s", (int)length, letters);
	else
		cr_assert_eq(count, one);
}

Test(spell, misses_no_word_that_is_near)
{
	for (unsigned round = 0; round < 60; round++) {
		const struct spell_word *word = &dictionary.words[below(dictionary.count)];
		uint8_t letters[SPELL_LETTERS_MAX + 2];
		size_t length = word->length;

		memcpy(letters, word->letters, length);
		for (size_t edits = below(3); edits > 0; edits--)
			length = mistype(letters, length);
		check_against_scan(letters, length);
	}
}

Test(spell, misses_no_word_near_short_and_long_texts)
{
	static const char *const texts[] = {"q",
					    "xz",
					    "hte",
					    "aaaa",
					    "qqqq",
					    "zzzzzzz",
					    "'",
					    "s's",
					    "o'clok",
					    "caf\xe8",
					    "elphant",
					    "antidisest",
					    "interational",
					    "electroencefalographs",
					    "abcdefghijklmnopqrstuvwx"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		check_against_scan((const uint8_t *)texts[i], strlen(texts[i]));
}

Test(spell, fewer_suggestions_are_the_best_ones)
{
	static struct spell_suggestion all[ALL], few[5];

	for (unsigned round = 0; round < 300; round++) {
		const struct spell_word *word = &dictionary.words[below(dictionary.count)];
		uint8_t letters[SPELL_LETTERS_MAX + 1];
		size_t length, count, many;

		memcpy(letters, word->letters, word->length);
		length = mistype(letters, word->length);
		many = spell_index_suggest(&word_index, letters, length, all, ALL);
		count = spell_index_suggest(&word_index, letters, length, few, 5);
		cr_assert_eq(count, many < 5 ? many : 5);
		for (size_t i = 0; i < count; i++)
			cr_assert_eq(few[i].cost, all[i].cost);
	}
}

/* Mistakes from life, with what was meant: it has to come first. */
Test(spell, what_was_meant_comes_first)
{
	static const char *const pairs[][2] = {
		{"teh", "the"},
		{"borwn", "brown"},
		{"recieve", "receive"},
		{"definately", "definitely"},
		{"accomodate", "accommodate"},
		{"acheive", "achieve"},
		{"adn", "and"},
		{"agressive", "aggressive"},
		{"apparant", "apparent"},
		{"becuase", "because"},
		{"begining", "beginning"},
		{"beleive", "believe"},
		{"buisness", "business"},
		{"calender", "calendar"},
		{"cemetary", "cemetery"},
		{"commitee", "committee"},
		{"concious", "conscious"},
		{"dissapoint", "disappoint"},
		{"dont", "don't"},
		{"embarass", "embarrass"},
		{"enviroment", "environment"},
		{"existance", "existence"},
		{"foriegn", "foreign"},
		{"freind", "friend"},
		{"goverment", "government"},
		{"grammer", "grammar"},
		{"hte", "the"},
		{"independant", "independent"},
		{"knowlege", "knowledge"},
		{"libary", "library"},
		{"littel", "little"},
		{"maintainance", "maintenance"},
		{"neccessary", "necessary"},
		{"noticable", "noticeable"},
		{"occured", "occurred"},
		{"peice", "piece"},
		{"poeple", "people"},
		{"publically", "publicly"},
		{"questionaire", "questionnaire"},
		{"rythm", "rhythm"},
		{"seperate", "separate"},
		{"succesful", "successful"},
		{"suprise", "surprise"},
		{"taht", "that"},
		{"thier", "their"},
		{"tommorow", "tomorrow"},
		{"truely", "truly"},
		{"untill", "until"},
		{"wether", "whether"},
		{"wich", "which"},
		{"wierd", "weird"},
		{"writting", "writing"},
		{"yeild", "yield"},
		{"caf\xe8", "caf\xe9"},
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct spell_suggestion best;
		const struct spell_word *word;

		cr_assert_eq(spell_index_suggest(&word_index, (const uint8_t *)pairs[i][0],
						 strlen(pairs[i][0]), &best, 1),
			     1, "%s", pairs[i][0]);
		word = &dictionary.words[best.word];
		cr_assert(word->length == strlen(pairs[i][1]) &&
				  memcmp(word->letters, pairs[i][1], word->length) == 0,
			  "%s: %.*s", pairs[i][0], (int)word->length, word->letters);
	}
}

/* ---- Text ---- */

struct words {
	char text[512]; /* each word with a space behind it */
};

static void collect(void *context, const struct spell_token *token)
{
	struct words *words = context;

	cr_assert_leq(token->length, SPELL_TOKEN_MAX);
	cr_assert_leq(token->text_length, sizeof(token->text));
	strncat(words->text, token->text, token->text_length);
	strcat(words->text, " ");
}

static bool cut(const char *bytes, size_t length, size_t piece, const char *want)
{
	struct words words = {""};
	struct spell_text text = {.word = collect, .context = &words};

	for (size_t done = 0; done < length; done += piece)
		spell_text_add(&text, bytes + done, piece < length - done ? piece : length - done);
	spell_text_end(&text);
	cr_assert_str_eq(words.text, want, "in pieces of %zu", piece);
	return !text.invalid;
}

Test(spell_text, words_of_text)
{
	static const struct {
		const char *text, *words;
		bool valid;
	} cases[] = {
		{"Teh quick, borwn fox.", "Teh quick borwn fox ", true},
		{"", "", true},
		{"isn't 'quoted' dogs' rock'n'roll it''s", "isn't quoted dogs rock'n'roll it s ",
		 true},
		{"isn\xe2\x80\x99t", "isn\xe2\x80\x99t ", true},
		{"well-known\ttop\nof/it", "well known top of it ", true},
		{"3rd x86 covid19 in 2024 snake_case end", "in end ", true},
		{"caf\xc3\xa9 \xc3\x89t\xc3\xa9 na\xc3\xafve",
		 "caf\xc3\xa9 \xc3\x89t\xc3\xa9 na\xc3\xafve ", true},
		{"\xd0\xbc\xd0\xb8\xd1\x80 world \xe4\xb8\x96\xe7\x95\x8c", "world ", true},
		{"mixed\xd0\xbc letters", "letters ", true},
		{"a \xf0\x9f\xa6\x8a fox", "a fox ", true},
		{"\xe2\x80\x9cquoted\xe2\x80\x9d \xe2\x80\x94 dash", "quoted dash ", true},
		{"bad\xff"
		 "bytes",
		 "bad bytes ", false},
		{"cut\xc3", "cut ", false},
		{"over\xc0\xaflong \xed\xa0\x80 surrogate", "over long surrogate ", false},
		{"ended\xe2\x80"
		 "early",
		 "ended early ", false},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b", "b ",
		 true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t piece = 1; piece < 12; piece++)
			cr_assert_eq(
				cut(cases[i].text, strlen(cases[i].text), piece, cases[i].words),
				cases[i].valid, "%s", cases[i].text);
}

/* Length of the well-formed sequence at BYTES, 0 where there is none: the Unicode Standard, table
 * 3-7, as it stands there. */
static size_t well_formed(const uint8_t *bytes, size_t left)
{
	static const struct {
		uint8_t first, last; /* of the first byte */
		uint8_t second[2];   /* the second byte's bounds; the others are 80..BF */
		size_t length;
	} rows[] = {
		{0x00, 0x7f, {0, 0}, 1},       {0xc2, 0xdf, {0x80, 0xbf}, 2},
		{0xe0, 0xe0, {0xa0, 0xbf}, 3}, {0xe1, 0xec, {0x80, 0xbf}, 3},
		{0xed, 0xed, {0x80, 0x9f}, 3}, {0xee, 0xef, {0x80, 0xbf}, 3},
		{0xf0, 0xf0, {0x90, 0xbf}, 4}, {0xf1, 0xf3, {0x80, 0xbf}, 4},
		{0xf4, 0xf4, {0x80, 0x8f}, 4},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (bytes[0] < rows[i].first || bytes[0] > rows[i].last)
			continue;
		if (rows[i].length > left)
			return 0;
		for (size_t k = 1; k < rows[i].length; k++)
			if (bytes[k] < (k == 1 ? rows[i].second[0] : 0x80) ||
			    bytes[k] > (k == 1 ? rows[i].second[1] : 0xbf))
				return 0;
		return rows[i].length;
	}
	return 0;
}

static bool is_utf8(const uint8_t *bytes, size_t length)
{
	size_t used;

	for (; length > 0; bytes += used, length -= used) {
		used = well_formed(bytes, length);
		if (!used)
			return false;
	}
	return true;
}

/* Letters, apostrophes, and sequences of any lengths, with a byte changed now and then. */
static size_t random_text(uint8_t *bytes, size_t room)
{
	static const uint8_t firsts[] = {'a',  '\'', ' ',  '3',	 0xc3, 0xd0,
					 0xe0, 0xe2, 0xed, 0xf0, 0xf4};
	size_t length = below(room), at = 0;

	while (at < length) {
		uint8_t first = firsts[below(sizeof(firsts))];
		size_t more = first < 0x80 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;

		bytes[at++] = first;
		for (; more && at < length; more--)
			bytes[at++] = (uint8_t)(0x80 + below(64));
	}
	for (size_t changes = below(3) / 2; changes && length; changes--)
		bytes[below(length)] = (uint8_t)native_random(&state);
	return length;
}

/* For any bytes: the words do not depend on where the text is cut, they hold letters and
 * apostrophes only, and the text counts as valid where the standard's table says so. */
Test(spell_text, any_bytes_are_judged_as_the_standard_judges_them)
{
	unsigned valid = 0, invalid = 0, found = 0;

	for (unsigned round = 0; round < 40000; round++) {
		struct words words = {""};
		struct spell_text text = {.word = collect, .context = &words};
		uint8_t bytes[40];
		size_t length = random_text(bytes, sizeof(bytes));
		bool is_valid = is_utf8(bytes, length);

		spell_text_add(&text, bytes, length);
		spell_text_end(&text);
		cr_assert_eq(!text.invalid, is_valid, "round %u", round);
		cr_assert_eq(cut((const char *)bytes, length, 1 + below(3), words.text), is_valid);
		for (const char *c = words.text; *c; c++)
			cr_assert(*c < 0 || isalpha((unsigned char)*c) || *c == '\'' || *c == ' ',
				  "%02x in \"%s\"", (unsigned char)*c, words.text);
		valid += is_valid;
		invalid += !is_valid;
		found += words.text[0] != '\0';
	}
	/* The rounds came to all of it. */
	cr_expect_gt(valid, 1000);
	cr_expect_gt(invalid, 1000);
	cr_expect_gt(found, 1000);
}
