/* SPDX-License-Identifier: BSD-2-Clause */
#include "setkey/weak.h"

static bool is_told(const struct weak *w, const struct alg *a)
{
	for (unsigned i = 0; i < w->n; i++) {
		if (w->told[i] == a)
			return true;
	}
	return false;
}

static void tell(struct weak *w, struct script *s, struct span at, const struct alg *a)
{
	bool nobodys = a && (a->prim == PRIM_OUI || a->prim == PRIM_LZS);

	if (!a || !(a->weak || nobodys) || w->n == WEAK_MAX || is_told(w, a))
		return;
	w->told[w->n++] = a;
	if (nobodys)
		script_warn(s, at, "%s will be refused: %s", a->name, a->note);
	else
		script_warn(s, at, "%s is weak: %s", a->name, a->weak);
}

void weak_tell(struct weak *w, struct script *s, const struct command *cmd)
{
	const struct keymsg *m = &cmd->msg;
	enum alg_class class = m->satype == SATYPE_IPCOMP ? ALG_COMP : ALG_ENC;

	if (s->errors || (m->type != KEYMSG_ADD && m->type != KEYMSG_UPDATE))
		return;
	tell(w, s, cmd->parts[PART_ENC], alg_by_pfkey(class, m->sa.encrypt, m->sa.flags));
	tell(w, s, cmd->parts[PART_AUTH], alg_by_pfkey(ALG_AUTH, m->sa.auth, m->sa.flags));
}
