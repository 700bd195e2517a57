/* SPDX-License-Identifier: Apache-2.0 */
/* From numbers to words; see names.h. */
#include "pool/wire/names.h"

#include "engine/engine.h"
#include "pool/wire/protocol.h"

struct named {
	const char *name, *text;
	int code;
};

#define NAMED_STATUS(name, code, text)	{#name, text, code},
#define NAMED_START(name, text)		#name,
#define NAMED_OUTCOME(name, code, text) #name,

static const struct named statuses[] = {THAW_STATUSES(NAMED_STATUS)};
static const char *const starts[] = {THAW_STARTS(NAMED_START)};
static const char *const outcomes[] = {THAW_OUTCOMES(NAMED_OUTCOME)};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const char *thaw_wire_status_name(uint32_t status)
{
	return status < COUNT(statuses) ? statuses[status].name : NULL;
}

const char *thaw_wire_status_text(uint32_t status)
{
	return status < COUNT(statuses) ? statuses[status].text : NULL;
}

int thaw_wire_status_code(uint32_t status)
{
	return status < COUNT(statuses) ? statuses[status].code : THAW_ERR_ENGINE;
}

const char *thaw_wire_start_name(uint32_t start)
{
	return start < COUNT(starts) ? starts[start] : NULL;
}

const char *thaw_wire_outcome_name(uint32_t outcome)
{
	return outcome < COUNT(outcomes) ? outcomes[outcome] : NULL;
}
