/* SPDX-License-Identifier: BSD-2-Clause */
#include "script/refusal.h"

#include <errno.h>

enum part refusal_part(const struct keymsg *m)
{
	static const enum part parts[EXT_COUNT] = {
		[EXT_SA] = PART_SPI,
		[EXT_LIFETIME_HARD] = PART_LIFETIME,
		[EXT_LIFETIME_SOFT] = PART_LIFETIME,
		[EXT_ADDRESS_SRC] = PART_SRC,
		[EXT_ADDRESS_DST] = PART_DST,
		[EXT_KEY_AUTH] = PART_AUTH_KEY,
		[EXT_KEY_ENCRYPT] = PART_ENC_KEY,
		[EXT_POLICY] = PART_POLICY,
		[EXT_SA2] = PART_MODE,
		[EXT_SPIRANGE] = PART_SPI,
		[EXT_REPLAY] = PART_REPLAY,
		[EXT_NAT_T_TYPE] = PART_PROTO,
		[EXT_NAT_T_SPORT] = PART_SRC,
		[EXT_NAT_T_DPORT] = PART_DST,
		[EXT_NAT_T_OA] = PART_NATT,
		[EXT_NAT_T_OAR] = PART_NATT,
		[EXT_NAT_T_FRAG] = PART_NATT_MTU,
		[EXT_SEC_CTX] = PART_LABEL,
		[EXT_HW_OFFL] = PART_HWIF,
	};
	uint8_t ext = m->reason.ext;

	if (!keymsg_has(m, EXT_REASON))
		return m->errnum == EEXIST || m->errnum == ESRCH ? PART_SPI : PART_COMMAND;
	if (ext >= EXT_COUNT)
		return PART_PROTO;
	/* of a key, what is wrong may be its algorithm: that it is not there, or not yet */
	if (m->errnum == ENOSYS || m->errnum == 0) {
		if (ext == EXT_KEY_AUTH)
			return PART_AUTH;
		if (ext == EXT_KEY_ENCRYPT)
			return PART_ENC;
	}
	return parts[ext];
}

const char *refusal_text(const struct keymsg *m)
{
	static const struct {
		int errnum;
		bool spd;
		const char *text;
	} texts[] = {
		{ EEXIST, false, "an SA with this SPI, protocol and destination exists" },
		{ EEXIST, true, "a policy with this selector and direction exists" },
		{ ESRCH, false, "there is no such SA" },
		{ ENOENT, true, "there is no such policy" },
		{ ENOENT, false, "there is no such SA, or its algorithm is not there" },
		{ ENOSYS, false, "an algorithm of this SA is not provided" },
		{ EPROTONOSUPPORT, false, "this protocol is not provided" },
		{ ELOOP, true, "this policy has too many requests" },
	};
	bool spd = m->type >= KEYMSG_SPDUPDATE && m->type <= KEYMSG_SPDFLUSH;

	if (keymsg_has(m, EXT_REASON))
		return m->reason.text;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		if (texts[i].errnum == m->errnum && texts[i].spd == spd)
			return texts[i].text;
	}
	return "refused";
}
