/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random messages that the language has words for: all protocols, algorithms and
 * options of SAs, all policies. For tests that include text/print_script.c.
 */
#ifndef SALLYPORT_TESTS_ANY_MESSAGE_H
#define SALLYPORT_TESTS_ANY_MESSAGE_H

/* Numbers that are the same in every run. */
static uint64_t state_of_random = 88172645463325252;

static uint64_t any(void)
{
	uint64_t x = state_of_random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return state_of_random = x;
}

static unsigned below(unsigned n)
{
	return (unsigned)(any() >> 16) % n;
}

static bool one_in(unsigned n)
{
	return below(n) == 0;
}

static struct addr any_addr(int family)
{
	uint8_t bytes[16];
	struct addr a;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = one_in(3) ? 0 : (uint8_t)any();
	if (family == AF_INET6 && one_in(4))
		memcpy(bytes, "\xfe\x80", 2);
	a = addr_of(family, bytes);
	if (family == AF_INET6 && addr_takes_scope(&a) && one_in(2))
		a.scope = (uint32_t)any();
	return a;
}

static struct keymsg_addr any_end(int family)
{
	struct keymsg_addr a = { .range.addr = any_addr(family), .proto = PROTO_ANY };

	a.range.prefix_len = (uint8_t)addr_bits(&a.range.addr);
	return a;
}

static uint8_t keys[2][KEYMSG_KEY_MAX];

/* A key of a length that the algorithm takes; none of 0 bits. */
static void any_key(struct keymsg *m, const struct alg *a)
{
	bool auth = a->class == ALG_AUTH;
	uint8_t *room = keys[auth];
	unsigned steps = a->key.step_bits ? (a->key.max_bits - a->key.min_bits) / a->key.step_bits : 0;
	unsigned bits = a->key.min_bits + below(steps + 1) * a->key.step_bits;

	for (size_t i = 0; i < KEYMSG_KEY_MAX; i++)
		room[i] = (uint8_t)any();
	*(auth ? &m->sa.auth : &m->sa.encrypt) = a->pfkey;
	m->sa.flags |= a->sa_flags;
	if (bits == 0 || a->class == ALG_COMP)
		return;
	*(auth ? &m->key_auth : &m->key_encrypt) = (struct keymsg_key){ (uint16_t)bits, room };
	m->present |= 1u << (auth ? EXT_KEY_AUTH : EXT_KEY_ENCRYPT);
}

/* An algorithm of the class that serves the protocol. */
static const struct alg *any_alg(enum alg_class class, uint8_t protocol)
{
	const struct alg *a, *found = NULL;
	unsigned n = 0;

	for (a = alg_next(class, NULL); a; a = alg_next(class, a)) {
		if (a->protocols & protocol && one_in(++n))
			found = a;
	}
	return found;
}

static const struct kind {
	uint8_t satype;
	uint32_t flags;
	uint8_t protocol;
	bool auth, enc;
} kinds[] = {
	{ SATYPE_ESP, 0, ALG_FOR_ESP, true, true },
	{ SATYPE_AH, 0, ALG_FOR_AH, true, false },
	{ SATYPE_ESP, SAF_OLD, ALG_FOR_ESP_OLD, false, true },
	{ SATYPE_AH, SAF_OLD, ALG_FOR_AH_OLD, true, false },
	{ SATYPE_IPCOMP, 0, ALG_FOR_IPCOMP, false, false },
	{ SATYPE_TCP, 0, ALG_FOR_TCP, true, false },
};

static void any_algs(struct keymsg *m, const struct kind *k)
{
	const struct alg *enc = k->enc ? any_alg(ALG_ENC, k->protocol) : NULL;

	if (m->type == KEYMSG_UPDATE && one_in(3))
		return;
	if (enc)
		any_key(m, enc);
	if (k->auth && (!enc || (!enc->aead && one_in(2))))
		any_key(m, any_alg(ALG_AUTH, k->protocol));
	if (m->satype == SATYPE_IPCOMP) {
		any_key(m, any_alg(ALG_COMP, k->protocol));
		m->sa.flags |= one_in(2) ? SAF_RAWCPI : 0;
	}
}

static void any_natt(struct keymsg *m, int family, bool getspi)
{
	if (m->satype != SATYPE_ESP || m->sa.flags & SAF_OLD || one_in(2))
		return;
	m->present |= 1u << EXT_NAT_T_TYPE | 1u << EXT_NAT_T_SPORT | 1u << EXT_NAT_T_DPORT;
	m->natt_type = NATT_ESPINUDP;
	m->natt_sport = one_in(2) ? NATT_PORT : (uint16_t)(1 + below(65535));
	m->natt_dport = one_in(2) ? NATT_PORT : (uint16_t)(1 + below(65535));
	if (getspi)
		return;
	if (one_in(2)) {
		m->natt_oa = any_end(family);
		m->present |= 1u << EXT_NAT_T_OA;
		if (one_in(2)) {
			m->natt_oar = any_end(family);
			m->present |= 1u << EXT_NAT_T_OAR;
		}
	}
	if (one_in(3)) {
		m->natt_frag = (uint16_t)any();
		m->present |= 1u << EXT_NAT_T_FRAG;
	}
}

static void any_label(struct keymsg *m)
{
	static char label[KEYMSG_LABEL_MAX];

	m->sec_ctx = (struct keymsg_sec_ctx){ (uint8_t)any(), (uint8_t)any(),
					      (uint16_t)(1 + below(one_in(9) ? KEYMSG_LABEL_MAX : 40)),
					      label };
	for (size_t i = 0; i < m->sec_ctx.len; i++) {
		label[i] = (char)(1 + below(255));
		if (label[i] == '"')
			label[i] = ':';
	}
	m->present |= 1u << EXT_SEC_CTX;
}

static void any_hwif(struct keymsg *m)
{
	static const char letters[] = "abcxyzABCXYZ0189_.-%,";
	size_t len = 1 + below(KEYMSG_IFNAME_MAX - 1);

	memset(m->hw_offl, 0, sizeof(m->hw_offl));
	for (size_t i = 0; i < len; i++)
		m->hw_offl[i] = letters[below(i ? sizeof(letters) - 1 : 17)];
	m->present |= 1u << EXT_HW_OFFL;
}

static void any_options(struct keymsg *m)
{
	static const uint32_t pads[] = { 0, SAF_PZERO, SAF_PRAND };

	m->sa.flags |= (one_in(3) ? 0 : SAF_CYCSEQ) | pads[below(3)];
	if (!(m->sa.flags & SAF_OLD) && (m->satype == SATYPE_ESP || m->satype == SATYPE_AH))
		m->sa.flags |= one_in(3) ? SAF_ESN : 0;
	if (!(m->sa.flags & SAF_OLD) && one_in(2)) {
		m->replay_window = 8 * below(one_in(2) ? 5 : REPLAY_BYTES_MAX + 1);
		m->sa.replay = (uint8_t)(m->replay_window > 255 ? 255 : m->replay_window);
		m->present |= 1u << EXT_REPLAY;
	}
	if (one_in(2)) {
		m->present |= 1u << EXT_LIFETIME_HARD | 1u << EXT_LIFETIME_SOFT;
		m->hard = (struct keymsg_lifetime){ .add_s = one_in(2) ? any() : 0,
						    .bytes = one_in(2) ? any() : 0 };
		m->soft = (struct keymsg_lifetime){ .add_s = one_in(2) ? any() : 0,
						    .bytes = one_in(2) ? any() : 0 };
	}
}

static struct keymsg any_sa(void)
{
	static const uint8_t types[] = { KEYMSG_ADD, KEYMSG_UPDATE, KEYMSG_DUMP, KEYMSG_GETSPI };
	const struct kind *k = &kinds[below(sizeof(kinds) / sizeof(*kinds))];
	int family = one_in(2) ? AF_INET : AF_INET6;
	struct keymsg m = { .type = types[below(4)], .satype = k->satype };
	bool getspi;

	m.sa.state = m.type == KEYMSG_DUMP ? SA_MATURE : SA_LARVAL;
	if (m.type == KEYMSG_DUMP && one_in(4))
		m.sa.state = SA_LARVAL;
	getspi = is_getspi(&m);
	if (getspi && k->flags & SAF_OLD)
		k = &kinds[0]; /* old and new are one to GETSPI */
	m.satype = k->satype;
	m.present = 1u << EXT_SA2 | 1u << EXT_ADDRESS_SRC | 1u << EXT_ADDRESS_DST;
	m.src = any_end(family);
	m.dst = any_end(family);
	m.sa2 = (struct keymsg_sa2){ .mode = (uint8_t)below(3), .reqid = one_in(2) ? (uint32_t)any() : 0 };
	m.sa.spi = m.satype == SATYPE_IPCOMP ? below(65536) : (uint32_t)any() | 0x100;
	if (getspi) {
		any_natt(&m, family, true);
		m.present |= 1u << (m.type == KEYMSG_GETSPI ? EXT_SPIRANGE : EXT_SA);
		m.spi_range = (struct keymsg_spirange){ m.sa.spi, m.sa.spi };
		return m;
	}
	m.present |= 1u << EXT_SA;
	m.sa.flags = k->flags;
	any_natt(&m, family, false);
	any_algs(&m, k);
	any_options(&m);
	if (one_in(4))
		any_label(&m);
	if (one_in(4))
		any_hwif(&m);
	return m;
}

static void any_request(struct request *q)
{
	static const uint8_t protos[] = { IPPROTO_ESP, IPPROTO_AH, IPPROTO_COMP };
	int family = one_in(2) ? AF_INET : AF_INET6;

	*q = (struct request){ .proto = protos[below(3)], .level = (uint8_t)below(4),
			       .mode = one_in(2) ? MODE_TRANSPORT : MODE_TUNNEL };
	if (q->level == LEVEL_UNIQUE && one_in(2))
		q->reqid = one_in(2) ? (uint32_t)any() : 1 + below(REQID_MANUAL_MAX);
	if (q->mode == MODE_TRANSPORT)
		return;
	q->src = any_addr(family);
	q->dst = any_addr(family);
	q->src_port = one_in(3) ? (uint16_t)any() : 0;
	q->dst_port = one_in(3) ? (uint16_t)any() : 0;
}

static void any_range(struct keymsg_addr *a)
{
	if (one_in(2))
		a->range.prefix_len = (uint8_t)below(addr_bits(&a->range.addr) + 1);
	if (has_ports(a->proto))
		a->range.port = one_in(2) ? (uint16_t)any() : 0;
}

static void any_detail(struct keymsg *m)
{
	if (has_ports(m->src.proto) || one_in(3))
		return;
	m->src.range.port = (uint16_t)any();
	m->dst.range.port = (uint16_t)any();
	if (m->src.proto == IPPROTO_GRE || one_in(4)) /* what no type says, ports do */
		return;
	m->src.range.port &= 0xff;
	m->dst.range.port &= m->src.proto == IPPROTO_MH ? 0 : 0xff;
}

static struct keymsg any_policy(void)
{
	static const uint8_t types[] = { KEYMSG_SPDADD, KEYMSG_SPDUPDATE, KEYMSG_SPDDUMP };
	static const uint8_t protos[] = { PROTO_ANY, 6, 17, IPPROTO_ICMP, IPPROTO_ICMPV6,
					  IPPROTO_MH, IPPROTO_GRE };
	static const uint32_t bases[] = { 0x40000000, 0x80000000, 0xc0000000, 0 };
	int family = one_in(2) ? AF_INET : AF_INET6;
	struct keymsg m = { .type = types[below(3)] };

	m.present = 1u << EXT_POLICY | 1u << EXT_ADDRESS_SRC | 1u << EXT_ADDRESS_DST;
	m.src = any_end(family);
	m.dst = any_end(family);
	m.src.proto = m.dst.proto = one_in(3) ? (uint8_t)(1 + below(255)) : protos[below(7)];
	any_range(&m.src);
	any_range(&m.dst);
	any_detail(&m);
	m.policy = (struct policy){ .dir = (uint8_t)(1 + below(3)), .action = (uint8_t)below(3),
				    .priority = one_in(2) ? (uint32_t)any() : bases[below(4)] };
	if (m.policy.action == POLICY_IPSEC)
		m.policy.n_requests = (uint8_t)(1 + below(one_in(5) ? POLICY_REQUESTS_MAX : 2));
	for (size_t i = 0; i < m.policy.n_requests; i++)
		any_request(&m.policy.requests[i]);
	if (one_in(4))
		any_label(&m);
	if (one_in(4))
		any_hwif(&m);
	return m;
}

#endif
