/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Steering programs. The decision is written once, as a classic BPF filter over a
 * frame:
 *
 *     dst src [tag [tag]] ethertype | IP header ...
 *                                   ^ X
 *
 *     too short to look at, a third tag     -> take (and nobody will pass it on)
 *     not IP                                -> pass
 *     IPv6 neighbour discovery, RFC 4861    -> pass
 *     IPv6 listener discovery, RFC 3810     -> pass
 *     DHCP on the link, RFC 2131            -> pass
 *     leaving: of a protocol that protects,
 *               with our mark               -> pass: it has been here
 *     arriving: ESP, AH, IPComp, or an IPv6 extension header that has one of
 *               these or another extension header behind it -> take
 *     a selector's addresses fit (and it
 *               is an ICMP error or UDP, if only such are asked for) -> take
 *     else                                  -> pass
 *
 * Only addresses are compared: ports are not there in fragments and ICMP errors.
 * A load that runs off the frame ends a classic filter with 0 and an eBPF program
 * with TC_ACT_OK, both of which let the packet by; so every load stands behind a
 * check of the length.
 *
 * A tag that the kernel keeps beside the frame (skb->vlan_tci) is not seen here and
 * need not be: the frame then looks untagged, and the tag is put back on its way
 * into the TAP. Tagged packets are steered by their addresses like all others,
 * though routing had them on the VLAN's interface; not to look would fail open.
 */
#include "io/steer.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <netinet/in.h>

#include "base/ip_header.h"
#include "base/wire.h"

#define UDP_LEN	    8
#define DHCP_SERVER 67u
#define DHCP_CLIENT 68u

/* Header numbers that an inbound packet is taken for. */
static const uint8_t protected[] = { IPPROTO_ESP, IPPROTO_AH, IPPROTO_COMP };
/* IPv6 extension headers: hop-by-hop, routing, fragment, destination, mobility, HIP, shim6. */
static const uint8_t extension[] = { 0, 43, 44, 60, 135, 139, 140 };
/* Either, at the second place. */
static const uint8_t hiding[] = { IPPROTO_ESP, IPPROTO_AH, IPPROTO_COMP, 0, 43, 44, 60, 135, 139,
				  140 };

/* What a routed packet of ours may be: those, IP in IP, UDP around ESP, and fragments of IPv6. */
static const uint8_t marked4[] = { IPPROTO_ESP, IPPROTO_AH, IPPROTO_COMP, IPPROTO_IPIP,
				   IPPROTO_IPV6, IPPROTO_UDP };
static const uint8_t marked6[] = { IPPROTO_ESP,	 IPPROTO_AH,  IPPROTO_COMP,    IPPROTO_IPIP,
				   IPPROTO_IPV6, IPPROTO_UDP, IPPROTO_FRAGMENT };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A list of instructions whose jumps need no patching. */
#define EMIT(f, ...)                                                                               \
	emit_list(f, (const struct sock_filter[]){ __VA_ARGS__ },                                  \
		  COUNT(((const struct sock_filter[]){ __VA_ARGS__ })))

#define LEN()		 BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0)
#define MINUS_X()	 BPF_STMT(BPF_ALU | BPF_SUB | BPF_X, 0)
#define X_IS(k)		 BPF_STMT(BPF_LDX | BPF_W | BPF_IMM, k)
#define MARK()		 BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_MARK))
#define HALF(k)		 BPF_STMT(BPF_LD | BPF_H | BPF_ABS, k)
#define BYTE_X(k)	 BPF_STMT(BPF_LD | BPF_B | BPF_IND, k)
#define HALF_X(k)	 BPF_STMT(BPF_LD | BPF_H | BPF_IND, k)
#define WORD_X(k)	 BPF_STMT(BPF_LD | BPF_W | BPF_IND, k)
#define AND(k)		 BPF_STMT(BPF_ALU | BPF_AND | BPF_K, k)
#define GOTO(k)		 BPF_STMT(BPF_JMP | BPF_JA, k)
#define IF_EQ(k, jt, jf) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, jt, jf)
#define IF_GE(k, jt, jf) BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, k, jt, jf)
#define IF_GT(k, jt, jf) BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, k, jt, jf)
#define TAKE()		 BPF_STMT(BPF_RET | BPF_K, STEER_TAKE)
#define PASS()		 BPF_STMT(BPF_RET | BPF_K, STEER_PASS)

static void emit_list(struct steer_filter *f, const struct sock_filter *ops, size_t n)
{
	assert(n <= STEER_FILTER_MAX - f->n);
	memcpy(&f->ops[f->n], ops, n * sizeof(*ops));
	f->n += n;
}

/* Takes the packet when A is one of the numbers. */
static void emit_take_if(struct steer_filter *f, const uint8_t *number, size_t n)
{
	for (size_t i = 0; i + 1 < n; i++)
		EMIT(f, IF_EQ(number[i], (uint8_t)(n - 1 - i), 0));
	EMIT(f, IF_EQ(number[n - 1], 0, 1), TAKE());
}

/* Passes the packet when it has the mark and the byte at X + at is one of the numbers. */
static void emit_pass_marked(struct steer_filter *f, uint32_t mark, uint32_t at,
			     const uint8_t *number, uint8_t n)
{
	if (!mark)
		return;
	EMIT(f, MARK(), IF_EQ(mark, 0, (uint8_t)(n + 2)), BYTE_X(at));
	for (uint8_t i = 0; i + 1 < n; i++)
		EMIT(f, IF_EQ(number[i], (uint8_t)(n - 1 - i), 0));
	EMIT(f, IF_EQ(number[n - 1], 0, 1), PASS());
}

/* X becomes the length of the link header, A the ethertype. */
static void emit_link(struct steer_filter *f)
{
	for (uint32_t len = ETH_HLEN; len <= ETH_HLEN + 8; len += 4) {
		uint8_t rest = len < ETH_HLEN + 8 ? 5 : 1;

		EMIT(f, LEN(), IF_GE(len, 1, 0), TAKE(), X_IS(len), HALF(len - 2));
		EMIT(f, IF_EQ(ETH_P_8021Q, 1, 0), IF_EQ(ETH_P_8021AD, 0, rest));
	}
	EMIT(f, TAKE());
}

/* Takes the packet when fewer than len bytes are behind the link header. */
static void emit_need(struct steer_filter *f, uint32_t len)
{
	EMIT(f, LEN(), MINUS_X(), IF_GE(len, 1, 0), TAKE());
}

/* RFC 4861 section 7.1: ICMPv6 133 to 137 with hop limit 255, directly behind the base header. */
static void emit_discovery(struct steer_filter *f)
{
	EMIT(f, BYTE_X(V6_NEXT), IF_EQ(IPPROTO_ICMPV6, 0, 9));
	EMIT(f, BYTE_X(V6_HOPS), IF_EQ(255, 0, 7));
	EMIT(f, LEN(), MINUS_X(), IF_GE(IPV6_HEADER + 1, 0, 4));
	EMIT(f, BYTE_X(IPV6_HEADER), IF_GE(133, 0, 2), IF_GT(137, 1, 0), PASS());
}

/*
 * RFC 3810 section 5: ICMPv6 130 to 132 and 143 to a group, with hop limit 1 and behind
 * one header of hop-by-hop options, 8 bytes long. Without them, switches that listen
 * would keep even neighbour solicitations from us.
 */
static void emit_listeners(struct steer_filter *f)
{
	EMIT(f, BYTE_X(V6_NEXT), IF_EQ(0, 0, 15));
	EMIT(f, BYTE_X(V6_HOPS), IF_EQ(1, 0, 13));
	EMIT(f, BYTE_X(V6_DST), IF_EQ(0xff, 0, 11));
	EMIT(f, LEN(), MINUS_X(), IF_GE(IPV6_HEADER + 8 + 1, 0, 8));
	EMIT(f, HALF_X(IPV6_HEADER), IF_EQ(IPPROTO_ICMPV6 << 8, 0, 6));
	EMIT(f, BYTE_X(IPV6_HEADER + 8), IF_EQ(143, 3, 0), IF_EQ(130, 2, 0), IF_EQ(131, 1, 0),
	     IF_EQ(132, 0, 1), PASS());
}

/*
 * A host without an address broadcasts from 0.0.0.0, and whoever renews at the last
 * moment broadcasts too; neither is ever forwarded. An answer may arrive at the address
 * that it offers, which nobody has yet. Packets with IP options and fragments are not DHCP.
 */
static void emit_dhcp(struct steer_filter *f, enum pkt_dir dir)
{
	const uint8_t answer = dir == PKT_IN ? 5 : 1; /* PASS, or where addresses are looked at */

	EMIT(f, BYTE_X(0), IF_EQ(0x45, 0, 16));
	EMIT(f, BYTE_X(V4_PROTO), IF_EQ(IPPROTO_UDP, 0, 14));
	EMIT(f, HALF_X(V4_FRAG), AND(V4_MF | V4_OFFSET), IF_EQ(0, 0, 11));
	EMIT(f, LEN(), MINUS_X(), IF_GE(IPV4_MIN + UDP_LEN, 0, 8));
	EMIT(f, WORD_X(IPV4_MIN), IF_EQ(DHCP_SERVER << 16 | DHCP_CLIENT, answer, 0));
	EMIT(f, IF_EQ(DHCP_CLIENT << 16 | DHCP_SERVER, 0, 5));
	EMIT(f, WORD_X(V4_SRC), IF_EQ(0, 2, 0));
	EMIT(f, WORD_X(V4_DST), IF_EQ(UINT32_MAX, 0, 1), PASS());
}

/*
 * Behind one extension header the next number is all there is to see: if it is
 * neither of ours nor another extension header, nothing is hidden and addresses
 * decide. So multicast listener reports do not depend on us.
 */
static void emit_hidden(struct steer_filter *f)
{
	const uint8_t n = COUNT(extension), body = 4 + 1 + COUNT(hiding) + 1;

	EMIT(f, BYTE_X(V6_NEXT));
	emit_take_if(f, protected, COUNT(protected));
	for (uint8_t i = 0; i + 1 < n; i++)
		EMIT(f, IF_EQ(extension[i], (uint8_t)(n - 1 - i), 0));
	EMIT(f, IF_EQ(extension[n - 1], 0, body));
	emit_need(f, IPV6_HEADER + 1);
	EMIT(f, BYTE_X(IPV6_HEADER));
	emit_take_if(f, hiding, COUNT(hiding));
}

/* One word of an address to be compared. */
struct word {
	uint32_t off, mask, value;
};

static size_t words_of(struct word *w, const struct addr *a, unsigned bits, uint32_t off)
{
	size_t n = 0;

	if (bits > addr_bits(a))
		bits = addr_bits(a);
	for (; bits; bits -= bits < 32 ? bits : 32, n++) {
		uint32_t mask = bits < 32 ? ~(UINT32_MAX >> bits) : UINT32_MAX;
		uint32_t at = (uint32_t)n * 4;

		w[n] = (struct word){ off + at, mask, get_be32(a->bytes + at) & mask };
	}
	return n;
}

/* Instructions of emit_error(). */
#define ERROR_OPS(family) ((family) == AF_INET ? 14 : 12)

/*
 * Goes on with the next instruction where the packet is an ICMP error, else with the
 * one behind it. IPv4's type is not looked for behind options: all ICMP with options
 * counts. So do all fragments of ICMP: whoever has some needs the others, and later
 * ones have anything where the type would be.
 */
static void emit_error(struct steer_filter *f, int family)
{
	size_t before = f->n;

	if (family == AF_INET) {
		EMIT(f, BYTE_X(V4_PROTO), IF_EQ(IPPROTO_ICMP, 0, 13));
		EMIT(f, BYTE_X(0), IF_EQ(0x45, 0, 10));
		EMIT(f, HALF_X(V4_FRAG), AND(V4_MF | V4_OFFSET), IF_EQ(0, 0, 7));
		EMIT(f, LEN(), MINUS_X(), IF_GE(IPV4_MIN + 1, 0, 4));
		EMIT(f, BYTE_X(IPV4_MIN), IF_EQ(3, 2, 0), IF_EQ(11, 1, 0), IF_EQ(12, 0, 1));
	} else {
		EMIT(f, BYTE_X(V6_NEXT), IF_EQ(IPPROTO_ICMPV6, 1, 0), IF_EQ(IPPROTO_FRAGMENT, 0, 10));
		EMIT(f, LEN(), MINUS_X(), IF_GE(IPV6_HEADER + 1, 0, 6));
		EMIT(f, BYTE_X(V6_NEXT), IF_EQ(IPPROTO_FRAGMENT, 0, 2));
		EMIT(f, BYTE_X(IPV6_HEADER), IF_EQ(IPPROTO_ICMPV6, 2, 3));
		EMIT(f, BYTE_X(IPV6_HEADER), IF_GE(128, 1, 0));
	}
	assert(f->n - before == ERROR_OPS(family));
}

/* Instructions of emit_udp(). */
#define UDP_OPS(family) ((family) == AF_INET ? 2 : 2 + (uint8_t)COUNT(extension))

/*
 * The same for UDP. Fragments of IPv4 say their protocol; whoever comes behind one of
 * IPv6's extension headers may be UDP.
 */
static void emit_udp(struct steer_filter *f, int family)
{
	const uint8_t n = family == AF_INET ? 0 : COUNT(extension);
	size_t before = f->n;

	EMIT(f, BYTE_X(family == AF_INET ? V4_PROTO : V6_NEXT));
	for (uint8_t i = 0; i < n; i++)
		EMIT(f, IF_EQ(extension[i], (uint8_t)(n - i), 0));
	EMIT(f, IF_EQ(IPPROTO_UDP, 0, 1));
	assert(f->n - before == UDP_OPS(family));
}

/* Takes packets of one pair of prefixes; true when that is every packet. */
static bool emit_select(struct steer_filter *f, const struct io_select *s)
{
	uint32_t src = s->src.family == AF_INET ? V4_SRC : V6_SRC;
	struct word w[8];
	size_t n = words_of(w, &s->src, s->src_len, src);
	uint8_t left = 1;

	n += words_of(w + n, &s->dst, s->dst_len, src + (uint32_t)addr_size(&s->src));
	if (s->what == IO_ICMP_ERRORS)
		left += ERROR_OPS(s->src.family);
	if (s->what == IO_UDP)
		left += UDP_OPS(s->src.family);
	for (size_t i = 0; i < n; i++)
		left += w[i].mask == UINT32_MAX ? 2 : 3;
	for (size_t i = 0; i < n; i++) {
		bool whole = w[i].mask == UINT32_MAX;

		left -= whole ? 2 : 3;
		EMIT(f, WORD_X(w[i].off));
		if (!whole)
			EMIT(f, AND(w[i].mask));
		EMIT(f, IF_EQ(w[i].value, 0, left));
	}
	if (s->what == IO_ICMP_ERRORS)
		emit_error(f, s->src.family);
	if (s->what == IO_UDP)
		emit_udp(f, s->src.family);
	EMIT(f, TAKE());
	return n == 0 && s->what == IO_ALL;
}

/* Ends a family's part. No instruction may follow that cannot be reached: eBPF refuses it. */
static void emit_selects(struct steer_filter *f, int family, enum pkt_dir dir,
			 const struct io_select *sel, size_t n)
{
	if (n > IO_SELECT_MAX) {
		EMIT(f, TAKE());
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (sel[i].dir != dir || sel[i].src.family != family || sel[i].dst.family != family)
			continue;
		if (emit_select(f, &sel[i]))
			return;
	}
	EMIT(f, PASS());
}

static void emit_ip4(struct steer_filter *f, enum pkt_dir dir, uint32_t mark,
		     const struct io_select *sel, size_t n)
{
	emit_need(f, IPV4_MIN);
	emit_dhcp(f, dir);
	if (dir == PKT_IN) {
		EMIT(f, BYTE_X(V4_PROTO));
		emit_take_if(f, protected, COUNT(protected));
	} else {
		emit_pass_marked(f, mark, V4_PROTO, marked4, COUNT(marked4));
	}
	emit_selects(f, AF_INET, dir, sel, n);
}

static void emit_ip6(struct steer_filter *f, enum pkt_dir dir, uint32_t mark,
		     const struct io_select *sel, size_t n)
{
	emit_need(f, IPV6_HEADER);
	emit_discovery(f);
	emit_listeners(f);
	if (dir == PKT_IN)
		emit_hidden(f);
	else
		emit_pass_marked(f, mark, V6_NEXT, marked6, COUNT(marked6));
	emit_selects(f, AF_INET6, dir, sel, n);
}

void steer_filter(struct steer_filter *f, enum pkt_dir dir, uint32_t mark,
		  const struct io_select *sel, size_t n)
{
	size_t skip;

	f->n = 0;
	emit_link(f);
	EMIT(f, IF_EQ(ETH_P_IP, 1, 0));
	skip = f->n;
	EMIT(f, GOTO(0));
	emit_ip4(f, dir, mark, sel, n);
	f->ops[skip].k = (uint32_t)(f->n - skip - 1);
	EMIT(f, IF_EQ(ETH_P_IPV6, 1, 0), PASS());
	emit_ip6(f, dir, mark, sel, n);
}

/*
 * eBPF. R6 holds the context, as LD_ABS and LD_IND want it, and their result goes
 * to R0, so R0 is the classic A; R7, which they keep, is X.
 */
enum { A = BPF_REG_0, X = BPF_REG_7, CTX = BPF_REG_6 };

static void code(struct steer_code *c, uint8_t op, uint8_t dst, uint8_t src, int16_t off,
		 uint32_t imm)
{
	assert(c->n < STEER_CODE_MAX);
	c->ops[c->n++] = (struct bpf_insn){
		.code = op, .dst_reg = dst, .src_reg = src, .off = off, .imm = (int32_t)imm
	};
}

static void code_set(struct steer_code *c, uint8_t reg, uint32_t imm)
{
	code(c, BPF_ALU | BPF_MOV | BPF_K, reg, 0, 0, imm);
}

/* TC_ACT_UNSPEC: other people's filters have their say. */
static void code_pass(struct steer_code *c)
{
	code(c, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, (uint32_t)TC_ACT_UNSPEC);
	code(c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static void code_redirect(struct steer_code *c, uint32_t to, uint32_t flags)
{
	code_set(c, BPF_REG_1, to);
	code_set(c, BPF_REG_2, flags);
	code(c, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect);
	code(c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static void code_mark(struct steer_code *c, uint32_t mark)
{
	code_set(c, BPF_REG_1, mark);
	code(c, BPF_STX | BPF_MEM | BPF_W, CTX, BPF_REG_1, offsetof(struct __sk_buff, mark), 0);
}

/* A packet that steer_deliver() sent round passes, and the stack does not see the mark. */
static void code_pass_marked(struct steer_code *c, uint32_t mark)
{
	code(c, BPF_LDX | BPF_MEM | BPF_W, A, CTX, offsetof(struct __sk_buff, mark), 0);
	code_set(c, BPF_REG_1, mark);
	code(c, BPF_JMP | BPF_JNE | BPF_X, A, BPF_REG_1, 4, 0);
	code_mark(c, 0);
	code_pass(c);
}

/* Instructions that a classic one becomes. */
static size_t code_size(const struct sock_filter *op)
{
	switch (BPF_CLASS(op->code)) {
	case BPF_RET:
		return op->k == STEER_PASS ? 2 : 4;
	case BPF_JMP:
		return BPF_OP(op->code) == BPF_JA ? 1 : 2;
	default:
		return 1;
	}
}

/* One instruction of the kinds steer_filter() writes; at[] has the new places of the old ones. */
static void code_one(struct steer_code *c, const struct sock_filter *op, const size_t *at,
		     uint32_t to)
{
	int16_t here = (int16_t)at[0];

	switch (op->code) {
	case BPF_LD | BPF_W | BPF_LEN:
		code(c, BPF_LDX | BPF_MEM | BPF_W, A, CTX, offsetof(struct __sk_buff, len), 0);
		break;
	case BPF_LD | BPF_W | BPF_ABS: /* nothing else is loaded so */
		assert(op->k == (uint32_t)(SKF_AD_OFF + SKF_AD_MARK));
		code(c, BPF_LDX | BPF_MEM | BPF_W, A, CTX, offsetof(struct __sk_buff, mark), 0);
		break;
	case BPF_LDX | BPF_W | BPF_IMM:
		code_set(c, X, op->k);
		break;
	case BPF_ALU | BPF_SUB | BPF_X:
	case BPF_ALU | BPF_AND | BPF_K:
		code(c, (uint8_t)op->code, A, BPF_SRC(op->code) == BPF_X ? X : 0, 0, op->k);
		break;
	case BPF_JMP | BPF_JA:
		code(c, BPF_JMP | BPF_JA, 0, 0, (int16_t)(at[1 + op->k] - at[1]), 0);
		break;
	case BPF_RET | BPF_K:
		if (op->k == STEER_PASS)
			code_pass(c);
		else
			code_redirect(c, to, 0);
		break;
	default:
		if (BPF_CLASS(op->code) == BPF_LD) { /* LD_ABS, LD_IND: the same numbers in both */
			code(c, (uint8_t)op->code, 0, BPF_MODE(op->code) == BPF_IND ? X : 0, 0,
			     op->k);
			break;
		}
		assert(BPF_CLASS(op->code) == BPF_JMP);
		code(c, BPF_JMP32 | BPF_OP(op->code) | BPF_K, A, 0,
		     (int16_t)(at[1 + op->jt] - at[0] - 1), op->k);
		code(c, BPF_JMP | BPF_JA, 0, 0, (int16_t)(at[1 + op->jf] - at[1]), 0);
	}
	assert(c->n == (size_t)here + code_size(op));
}

void steer_translate(struct steer_code *c, const struct steer_filter *f, uint32_t to, uint32_t mark)
{
	size_t at[STEER_FILTER_MAX + 1];

	c->n = 0;
	c->type = BPF_PROG_TYPE_SCHED_CLS;
	code(c, BPF_ALU64 | BPF_MOV | BPF_X, CTX, BPF_REG_1, 0, 0);
	if (mark)
		code_pass_marked(c, mark);
	at[0] = c->n;
	for (size_t i = 0; i < f->n; i++)
		at[i + 1] = at[i] + code_size(&f->ops[i]);
	for (size_t i = 0; i < f->n; i++)
		code_one(c, &f->ops[i], &at[i], to);
}

void steer_deliver(struct steer_code *c, uint32_t to, uint32_t mark)
{
	c->n = 0;
	c->type = BPF_PROG_TYPE_SCHED_CLS;
	code(c, BPF_ALU64 | BPF_MOV | BPF_X, CTX, BPF_REG_1, 0, 0);
	code_mark(c, mark);
	code_redirect(c, to, BPF_F_INGRESS);
}

/* Adds a word of a frame to X, which stays the same if words change places. */
static void code_add_word(struct steer_code *c, uint32_t at)
{
	code(c, BPF_LD | BPF_ABS | BPF_W, 0, 0, 0, at);
	code(c, BPF_ALU | BPF_MUL | BPF_K, A, 0, 0, 0x9e3779b1);
	code(c, BPF_ALU | BPF_ADD | BPF_X, X, A, 0, 0);
}

/* Returns the upper half of X, into which all bits have gone. */
static void code_return_spread(struct steer_code *c)
{
	code(c, BPF_ALU | BPF_MOV | BPF_X, A, X, 0, 0);
	code(c, BPF_ALU | BPF_RSH | BPF_K, A, 0, 0, 15);
	code(c, BPF_ALU | BPF_XOR | BPF_X, A, X, 0, 0);
	code(c, BPF_ALU | BPF_MUL | BPF_K, A, 0, 0, 0x85ebca6b);
	code(c, BPF_ALU | BPF_RSH | BPF_K, A, 0, 0, 16);
	code(c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* Two words of addresses, or eight. */
static size_t code_spread(struct steer_code *c, uint32_t at, unsigned words)
{
	size_t begin = c->n;

	for (unsigned i = 0; i < words; i++)
		code_add_word(c, at + 4 * i);
	code_return_spread(c);
	return c->n - begin;
}

/* What a load finds too short ends the program with 0. */
void steer_spread(struct steer_code *c)
{
	size_t skip;

	c->n = 0;
	c->type = BPF_PROG_TYPE_SOCKET_FILTER;
	code(c, BPF_ALU64 | BPF_MOV | BPF_X, CTX, BPF_REG_1, 0, 0);
	code_set(c, X, 0);
	code(c, BPF_LD | BPF_ABS | BPF_H, 0, 0, 0, offsetof(struct ethhdr, h_proto));
	skip = c->n;
	code(c, BPF_JMP32 | BPF_JNE | BPF_K, A, 0, 0, ETH_P_IP);
	c->ops[skip].off = (int16_t)code_spread(c, ETH_HLEN + V4_SRC, 2);
	skip = c->n;
	code(c, BPF_JMP32 | BPF_JNE | BPF_K, A, 0, 0, ETH_P_IPV6);
	c->ops[skip].off = (int16_t)code_spread(c, ETH_HLEN + V6_SRC, 8);
	code_set(c, A, 0);
	code(c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

int steer_load(const struct steer_code *c)
{
	union bpf_attr attr;
	int fd;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = c->type;
	attr.insns = (uintptr_t)c->ops;
	attr.insn_cnt = (uint32_t)c->n;
	attr.license = (uintptr_t) "Dual BSD/GPL";
	memcpy(attr.prog_name, "sallyport", sizeof("sallyport"));
	fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	return fd < 0 ? -errno : fd;
}
