/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * print_fields(): the bytes of a message, extension by extension, in the form of
 * setkey -v on Linux. No length in them is believed.
 */
#include "text/print.h"

#include <inttypes.h>
#include <netinet/in.h>

#include "base/wire.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* Sizes of PF_KEY's headers: RFC 2367 section 2.3. Lengths count eight bytes. */
#define EXT_HEADER 4
#define UNIT	   8

/* sadb_sa: spi32 (network order) replay8 state8 auth8 encrypt8 flags32 */
static bool put_ext_sa(FILE *out, struct rd *r)
{
	uint8_t replay, state, auth, encrypt;
	uint32_t spi, flags;

	if (!rd_be32(r, &spi) || !rd_u8(r, &replay) || !rd_u8(r, &state) || !rd_u8(r, &auth) ||
	    !rd_u8(r, &encrypt) || !rd_u32(r, &flags))
		return false;
	fprintf(out, "sadb_sa{ spi=%u replay=%u state=%u\n  auth=%u encrypt=%u flags=0x%08x }\n",
		spi, replay, state, auth, encrypt, flags);
	return true;
}

/* sadb_lifetime: allocations32 bytes64 addtime64 usetime64 */
static bool put_ext_lifetime(FILE *out, struct rd *r)
{
	uint32_t allocations;
	uint64_t bytes, add, use;

	if (!rd_u32(r, &allocations) || !rd_u64(r, &bytes) || !rd_u64(r, &add) || !rd_u64(r, &use))
		return false;
	fprintf(out,
		"sadb_lifetime{ alloc=%u, bytes=%" PRIu64 "\n  addtime=%" PRIu64
		", usetime=%" PRIu64 " }\n",
		allocations, bytes, add, use);
	return true;
}

/* A sockaddr as Linux has it: family16 port16 and the rest by family. */
static bool put_sockaddr(FILE *out, struct rd *r)
{
	uint32_t flow = 0, scope = 0;
	uint16_t family, port;
	const uint8_t *addr;
	size_t len;

	if (!rd_u16(r, &family) || !rd_be16(r, &port))
		return false;
	len = family == AF_INET ? 4 : 16;
	if ((family != AF_INET && family != AF_INET6) || (family == AF_INET6 && !rd_be32(r, &flow)))
		return false;
	addr = rd_bytes(r, len);
	if (!addr || (family == AF_INET6 && !rd_u32(r, &scope)) ||
	    (family == AF_INET && !rd_skip(r, 8)))
		return false;
	fprintf(out, "sockaddr{ len=%zu family=%u port=%u\n",
		family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6),
		family, port);
	if (family == AF_INET6)
		fprintf(out, "  flowinfo=0x%08x, scope_id=0x%08x\n", flow, scope);
	print_bytes(out, addr, len);
	fputs("  }\n", out);
	return true;
}

/* sadb_address: proto8 prefixlen8 reserved16 sockaddr */
static bool put_ext_address(FILE *out, struct rd *r)
{
	uint8_t proto, prefix;
	uint16_t reserved;

	if (!rd_u8(r, &proto) || !rd_u8(r, &prefix) || !rd_u16(r, &reserved))
		return false;
	fprintf(out, "sadb_address{ proto=%u prefixlen=%u reserved=0x%04x }\n", proto, prefix,
		reserved);
	return put_sockaddr(out, r);
}

/* sadb_key: bits16 reserved16 key */
static bool put_ext_key(FILE *out, struct rd *r)
{
	uint16_t bits, reserved;
	const uint8_t *key;

	if (!rd_u16(r, &bits) || !rd_u16(r, &reserved))
		return false;
	key = rd_bytes(r, (bits + 7u) / 8);
	if (!key)
		return false;
	fprintf(out, "sadb_key{ bits=%u reserved=%u\n  key=", bits, reserved);
	print_bytes(out, key, (bits + 7u) / 8);
	fputs(" }\n", out);
	return true;
}

/* sadb_x_ipsecrequest: len16 proto16 mode8 level8 reserved16 reqid32 reserved32 [src dst] */
#define REQUEST_HEADER 16

static bool put_request(FILE *out, struct rd *r)
{
	uint16_t len, proto, reserved;
	uint8_t mode, level;
	uint32_t reqid;
	const uint8_t *rest;
	struct rd in;

	if (!rd_u16(r, &len) || !rd_u16(r, &proto) || !rd_u8(r, &mode) || !rd_u8(r, &level) ||
	    !rd_u16(r, &reserved) || !rd_u32(r, &reqid) || !rd_skip(r, 4) || len < REQUEST_HEADER)
		return false;
	rest = rd_bytes(r, len - REQUEST_HEADER);
	if (!rest)
		return false;
	fprintf(out, " { len=%u proto=%u mode=%u level=%u reqid=%u\n", len, proto, mode, level,
		reqid);
	in = rd_of(rest, len - REQUEST_HEADER);
	while (rd_left(&in) >= sizeof(struct sockaddr_in) && put_sockaddr(out, &in))
		;
	fputs(" }\n", out);
	return true;
}

/* sadb_x_policy: type16 dir8 reserved8 id32 priority32 requests */
static bool put_ext_policy(FILE *out, struct rd *r)
{
	uint32_t id, priority;
	uint8_t dir, reserved;
	uint16_t type;

	if (!rd_u16(r, &type) || !rd_u8(r, &dir) || !rd_u8(r, &reserved) || !rd_u32(r, &id) ||
	    !rd_u32(r, &priority))
		return false;
	fprintf(out, "sadb_x_policy{ type=%u dir=%u id=%x priority=%u }\n", type, dir, id,
		priority);
	while (rd_left(r) >= REQUEST_HEADER && put_request(out, r))
		;
	return true;
}

/* sadb_x_sa2: mode8 reserved8 reserved16 sequence32 reqid32 */
static bool put_ext_sa2(FILE *out, struct rd *r)
{
	uint8_t mode, reserved1;
	uint16_t reserved2;
	uint32_t sequence, reqid;

	if (!rd_u8(r, &mode) || !rd_u8(r, &reserved1) || !rd_u16(r, &reserved2) ||
	    !rd_u32(r, &sequence) || !rd_u32(r, &reqid))
		return false;
	fprintf(out, "sadb_x_sa2{ mode=%u reqid=%u\n  reserved1=%u reserved2=%u sequence=%u }\n",
		mode, reqid, reserved1, reserved2, sequence);
	return true;
}

/* sadb_supported: reserved32 { id8 ivlen8 min16 max16 reserved16 } */
static bool put_ext_supported(FILE *out, struct rd *r)
{
	uint16_t min, max;
	uint8_t id, iv;

	if (!rd_skip(r, 4))
		return false;
	fputs("sadb_sup{\n", out);
	while (rd_u8(r, &id) && rd_u8(r, &iv) && rd_u16(r, &min) && rd_u16(r, &max) &&
	       rd_skip(r, 2))
		fprintf(out, "  { id=%u ivlen=%u min=%u max=%u }\n", id, iv, min, max);
	fputs("}\n", out);
	return true;
}

/* sadb_spirange: min32 max32 reserved32 */
static bool put_ext_spirange(FILE *out, struct rd *r)
{
	uint32_t min, max;

	if (!rd_u32(r, &min) || !rd_u32(r, &max))
		return false;
	fprintf(out, "sadb_spirange{ min=0x%08x max=0x%08x }\n", min, max);
	return true;
}

/* sadb_x_nat_t_type: type8 reserved24 */
static bool put_ext_natt_type(FILE *out, struct rd *r)
{
	uint8_t type;

	if (!rd_u8(r, &type))
		return false;
	fprintf(out, "sadb_x_nat_t_type{ type=%u }\n", type);
	return true;
}

/* sadb_x_nat_t_port: port16 (network order) reserved16 */
static bool put_ext_natt_port(FILE *out, struct rd *r)
{
	uint16_t port;

	if (!rd_be16(r, &port))
		return false;
	fprintf(out, "sadb_x_nat_t_port{ port=%u }\n", port);
	return true;
}

/* sadb_x_sec_ctx: alg8 doi8 len16 label */
static bool put_ext_sec_ctx(FILE *out, struct rd *r)
{
	const uint8_t *label;
	uint8_t alg, doi;
	uint16_t len;

	if (!rd_u8(r, &alg) || !rd_u8(r, &doi) || !rd_u16(r, &len) || !(label = rd_bytes(r, len)))
		return false;
	fprintf(out, "sadb_x_sec_ctx{ doi=%u alg=%u len=%u\n  label=", doi, alg, len);
	print_bytes(out, label, len);
	fputs(" }\n", out);
	return true;
}

/* sadb_comb: see keymsg/ext.c */
#define COMB 72

static bool put_comb(FILE *out, struct rd *r)
{
	uint8_t auth, encrypt;
	uint16_t flags, bits[4];
	uint32_t packets[2];
	uint64_t limits[6];

	if (!rd_u8(r, &auth) || !rd_u8(r, &encrypt) || !rd_u16(r, &flags))
		return false;
	for (size_t i = 0; i < COUNT(bits); i++) {
		if (!rd_u16(r, &bits[i]))
			return false;
	}
	if (!rd_skip(r, 4) || !rd_u32(r, &packets[0]) || !rd_u32(r, &packets[1]))
		return false;
	for (size_t i = 0; i < COUNT(limits); i++) {
		if (!rd_u64(r, &limits[i]))
			return false;
	}
	fprintf(out,
		"sadb_comb{ auth=%u encrypt=%u flags=0x%04x\n"
		"  auth_bits=%u-%u encrypt_bits=%u-%u\n"
		"  soft: alloc=%u bytes=%" PRIu64 " addtime=%" PRIu64 " usetime=%" PRIu64 "\n"
		"  hard: alloc=%u bytes=%" PRIu64 " addtime=%" PRIu64 " usetime=%" PRIu64 " }\n",
		auth, encrypt, flags, bits[0], bits[1], bits[2], bits[3], packets[0], limits[0],
		limits[2], limits[4], packets[1], limits[1], limits[3], limits[5]);
	return true;
}

/* sadb_prop: replay8 reserved24 combs */
static bool put_ext_proposal(FILE *out, struct rd *r)
{
	uint8_t replay;

	if (!rd_u8(r, &replay) || !rd_skip(r, 3))
		return false;
	fprintf(out, "sadb_prop{ replay=%u\n", replay);
	while (rd_left(r) >= COMB && put_comb(out, r))
		;
	fputs("}\n", out);
	return true;
}

/* By number, as RFC 2367 section 3 and linux/pfkeyv2.h have them. */
static bool (*const ext_printers[])(FILE *out, struct rd *r) = {
	[1] = put_ext_sa,
	[2 ... 4] = put_ext_lifetime,
	[5 ... 7] = put_ext_address,
	[8 ... 9] = put_ext_key,
	[13] = put_ext_proposal,
	[14 ... 15] = put_ext_supported,
	[16] = put_ext_spirange,
	[18] = put_ext_policy,
	[19] = put_ext_sa2,
	[20] = put_ext_natt_type,
	[21 ... 22] = put_ext_natt_port,
	[23] = put_ext_address,
	[24] = put_ext_sec_ctx,
};

/* The greatest number that Linux has: SADB_X_EXT_FILTER. */
#define LINUX_EXT_MAX 26

/* One extension. A known one without a printer, which no SADB here sends, is shown in bytes. */
static void put_ext(FILE *out, uint16_t type, const uint8_t *body, size_t len)
{
	struct rd r = rd_of(body, len);

	fprintf(out, "sadb_ext{ len=%zu type=%u }\n", (len + EXT_HEADER) / UNIT, type);
	if (type == 0 || type > LINUX_EXT_MAX) {
		fprintf(out, "kdebug_sadb: invalid ext_type %u was passed.\n", type);
	} else if (type >= COUNT(ext_printers) || !ext_printers[type]) {
		print_bytes(out, body, len);
		fputc('\n', out);
	} else if (!ext_printers[type](out, &r)) {
		fputs("(this extension is too short or of an unknown kind)\n", out);
	}
}

/* Extensions of ours, decoded: they have no layout that anyone else prints. */
static void put_private(FILE *out, const struct keymsg *m)
{
	char text[ADDR_TEXT_MAX];

	if (keymsg_has(m, EXT_REPLAY))
		fprintf(out, "sadb_x_sa_replay{ replay=%u }\n", m->replay_window);
	if (keymsg_has(m, EXT_NAT_T_OAR))
		fprintf(out, "sadb_x_nat_t_oar{ address=%s }\n",
			addr_text(&m->natt_oar.range.addr, text));
	if (keymsg_has(m, EXT_NAT_T_FRAG))
		fprintf(out, "sadb_x_nat_t_frag{ fraglen=%u }\n", m->natt_frag);
	if (keymsg_has(m, EXT_HW_OFFL))
		fprintf(out, "sadb_x_if_hw_offl{ if=%.*s }\n", KEYMSG_IFNAME_MAX, m->hw_offl);
	if (keymsg_has(m, EXT_INTERFACE))
		fprintf(out, "sadb_x_interface{ if=%.*s ifindex=%u up=%u mtu=%u }\n", KEYMSG_IFNAME_MAX,
			m->interface.name, m->interface.ifindex, m->interface.up, m->interface.mtu);
	if (keymsg_has(m, EXT_REASON))
		fprintf(out, "sadb_x_reason{ ext=%u\n  text=\"%s\" }\n", m->reason.ext,
			m->reason.text);
}

/* Extension numbers from here on are ours. */
#define PRIVATE_MIN 0x4b00

#define HEX_LINE 16

void print_hex(FILE *out, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (i % HEX_LINE == 0)
			fprintf(out, "%08zx: ", i);
		fprintf(out, "%02x ", p[i]);
		if (i % HEX_LINE == HEX_LINE - 1 || i + 1 == len)
			fputc('\n', out);
	}
}

void print_fields(FILE *out, const uint8_t *buf, size_t len)
{
	struct rd r = rd_of(buf, len);
	uint8_t version, type, errnum, satype;
	uint16_t units, reserved, ext;
	uint32_t seq, pid;
	struct keymsg m;

	if (!rd_u8(&r, &version) || !rd_u8(&r, &type) || !rd_u8(&r, &errnum) ||
	    !rd_u8(&r, &satype) || !rd_u16(&r, &units) || !rd_u16(&r, &reserved) ||
	    !rd_u32(&r, &seq) || !rd_u32(&r, &pid))
		return;
	fprintf(out,
		"sadb_msg{ version=%u type=%u errno=%u satype=%u\n"
		"  len=%u reserved=%u seq=%u pid=%u\n",
		version, type, errnum, satype, units, reserved, seq, pid);
	while (rd_u16(&r, &units) && rd_u16(&r, &ext)) {
		size_t size = (size_t)units * UNIT;
		const uint8_t *body = size < UNIT ? NULL : rd_bytes(&r, size - EXT_HEADER);

		if (!body)
			break;
		if (ext < PRIVATE_MIN)
			put_ext(out, ext, body, size - EXT_HEADER);
	}
	if (keymsg_decode(&m, buf, len) == 0)
		put_private(out, &m);
	fputc('\n', out);
}
