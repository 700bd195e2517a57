/* SPDX-License-Identifier: Apache-2.0 */
/* Formatting: the integer and string part of C's printf. The output goes through a sink, so that a
 * response needs no buffer of its own. */
#include <limits.h>

#include "guest-stub/core/core.h"

struct output {
	void (*sink)(void *context, const char *bytes, size_t length);
	void *context;
	size_t length;
};

struct conversion {
	bool left, plus, space, alternate, zero;
	int width;
	int precision; /* -1: none given */
	char size;     /* 'H': hh; 'h'; 0: int; 'l': l, ll, z, j and t, which are all 64 bits */
};

static void emit(struct output *out, const char *bytes, size_t length)
{
	if (length > 0)
		out->sink(out->context, bytes, length);
	out->length += length;
}

static void pad(struct output *out, char with, long count)
{
	char run[16];

	memset(run, with, sizeof(run));
	for (; count > 0; count -= (long)sizeof(run))
		emit(out, run, count < (long)sizeof(run) ? (size_t)count : sizeof(run));
}

/* Emits a field, PREFIX, ZEROS zeros and BODY, padded to the width with spaces. */
static void emit_field(struct output *out, const struct conversion *c, const char *prefix,
		       long zeros, const char *body, size_t length)
{
	long prefix_length = (long)strlen(prefix);
	long spaces = (long)c->width - prefix_length - zeros - (long)length;

	if (!c->left)
		pad(out, ' ', spaces);
	emit(out, prefix, (size_t)prefix_length);
	pad(out, '0', zeros);
	emit(out, body, length);
	if (c->left)
		pad(out, ' ', spaces);
}

static void emit_number(struct output *out, const struct conversion *c, char letter, uint64_t value,
			const char *sign)
{
	const char *digits = letter == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
	unsigned base = letter == 'o' ? 8 : letter == 'x' || letter == 'X' ? 16 : 10;
	const char *prefix = sign;
	char text[24]; /* 64 bits in octal are 22 digits */
	char *at = text + sizeof(text);
	long length, zeros = 0;

	for (uint64_t rest = value; rest != 0; rest /= base)
		*--at = digits[rest % base];
	length = text + sizeof(text) - at;
	if (c->precision < 0 && length == 0)
		zeros = 1; /* zero has one digit, and none with precision 0 */
	if (c->precision > length)
		zeros = c->precision - length;
	if (c->alternate && base == 16 && value != 0)
		prefix = letter == 'X' ? "0X" : "0x";
	if (c->alternate && base == 8 && zeros == 0)
		zeros = 1;
	if (c->zero && !c->left && c->precision < 0 &&
	    c->width > (long)strlen(prefix) + zeros + length)
		zeros = c->width - (long)strlen(prefix) - length;
	emit_field(out, c, prefix, zeros, at, (size_t)length);
}

static uint64_t take_unsigned(const struct conversion *c, va_list *arguments)
{
	if (c->size == 'l')
		return va_arg(*arguments, uint64_t);
	if (c->size == 'H')
		return (uint8_t)va_arg(*arguments, unsigned);
	if (c->size == 'h')
		return (uint16_t)va_arg(*arguments, unsigned);
	return va_arg(*arguments, unsigned);
}

static int64_t take_signed(const struct conversion *c, va_list *arguments)
{
	if (c->size == 'l')
		return va_arg(*arguments, int64_t);
	if (c->size == 'H')
		return (int8_t)va_arg(*arguments, int);
	if (c->size == 'h')
		return (int16_t)va_arg(*arguments, int);
	return va_arg(*arguments, int);
}

static void emit_signed(struct output *out, const struct conversion *c, int64_t value)
{
	const char *sign = value < 0 ? "-" : c->plus ? "+" : c->space ? " " : "";

	emit_number(out, c, 'd', value < 0 ? -(uint64_t)value : (uint64_t)value, sign);
}

static void emit_string(struct output *out, const struct conversion *c, const char *text)
{
	if (!text)
		text = "(null)";
	emit_field(out, c, "", 0, text,
		   c->precision < 0 ? strlen(text) : strnlen(text, (size_t)c->precision));
}

static void parse_flags(struct conversion *c, const char **format)
{
	for (;; (*format)++) {
		switch (**format) {
		case '-':
			c->left = true;
			break;
		case '+':
			c->plus = true;
			break;
		case ' ':
			c->space = true;
			break;
		case '#':
			c->alternate = true;
			break;
		case '0':
			c->zero = true;
			break;
		default:
			return;
		}
	}
}

/* Parses a decimal number, or takes an asterisk's argument. INT_MAX is the largest value. */
static int parse_count(const char **format, va_list *arguments)
{
	int value = 0;

	if (**format == '*') {
		(*format)++;
		return va_arg(*arguments, int);
	}
	for (; **format >= '0' && **format <= '9'; (*format)++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, **format - '0', &value))
			value = INT_MAX / 10;
	return value;
}

static void parse_size(struct conversion *c, const char **format)
{
	while (**format != '\0' && strchr("hlzjt", **format)) {
		c->size = **format == 'h' ? (c->size == 'h' ? 'H' : 'h') : 'l';
		(*format)++;
	}
}

static struct conversion parse_conversion(const char **format, va_list *arguments)
{
	struct conversion c = {.precision = -1};

	parse_flags(&c, format);
	c.width = parse_count(format, arguments);
	if (c.width < 0) { /* a negative argument means a minus flag and a width */
		c.left = true;
		c.width = c.width == INT_MIN ? INT_MAX : -c.width;
	}
	if (**format == '.') {
		(*format)++;
		c.precision = parse_count(format, arguments);
	}
	parse_size(&c, format);
	return c;
}

/* Does one conversion; *FORMAT is just after its percent sign. Returns -1 when it is not
 * supported. */
static int convert(struct output *out, const char **format, va_list *arguments)
{
	struct conversion c = parse_conversion(format, arguments);
	char letter = *(*format)++, one;

	switch (letter) {
	case 'd':
	case 'i':
		emit_signed(out, &c, take_signed(&c, arguments));
		return 0;
	case 'u':
	case 'x':
	case 'X':
	case 'o':
		emit_number(out, &c, letter, take_unsigned(&c, arguments), "");
		return 0;
	case 'p':
		emit_number(out, &c, 'x', (uintptr_t)va_arg(*arguments, void *), "0x");
		return 0;
	case 'c':
		one = (char)va_arg(*arguments, int);
		emit_field(out, &c, "", 0, &one, 1);
		return 0;
	case 's':
		emit_string(out, &c, va_arg(*arguments, const char *));
		return 0;
	case '%':
		emit(out, "%", 1);
		return 0;
	default:
		return -1;
	}
}

int thaw_core_format(void (*sink)(void *context, const char *bytes, size_t length), void *context,
		     const char *format, va_list arguments)
{
	struct output out = {sink, context, 0};
	va_list copy; /* because a parameter of type va_list is a pointer, of another type */
	int result = 0;

	va_copy(copy, arguments);
	/* Test RESULT first: after a failure *FORMAT may be beyond the end. */
	while (result == 0 && *format != '\0') {
		const char *percent = strchr(format, '%');
		size_t plain = percent ? (size_t)(percent - format) : strlen(format);

		emit(&out, format, plain);
		format += plain;
		if (*format == '%') {
			format++;
			result = convert(&out, &format, &copy);
		}
	}
	va_end(copy);
	return result < 0 || out.length > INT_MAX ? -1 : (int)out.length;
}

struct buffer {
	char *bytes;
	size_t size, used;
};

static void to_buffer(void *context, const char *bytes, size_t length)
{
	struct buffer *buffer = context;
	size_t room = buffer->size - buffer->used;

	if (length > room)
		length = room;
	memcpy(buffer->bytes + buffer->used, bytes, length);
	buffer->used += length;
}

int vsnprintf(char *text, size_t size, const char *format, va_list arguments)
{
	/* Keep one byte for the terminator; without any room, write nothing. */
	struct buffer buffer = {text, size > 0 ? size - 1 : 0, 0};
	int length = thaw_core_format(to_buffer, &buffer, format, arguments);

	if (size > 0)
		text[buffer.used] = '\0';
	return length;
}

int snprintf(char *text, size_t size, const char *format, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(text, size, format, arguments);
	va_end(arguments);
	return length;
}
