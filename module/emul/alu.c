// SPDX-License-Identifier: GPL-2.0-only
/*
 * Integer arithmetic with flags, in plain C. Flags that the manual leaves
 * undefined are given the value that comes easiest.
 */
#include "emul_priv.h"

static u64 sign_bit(unsigned int size)
{
	return 1ULL << (8 * size - 1);
}

static u64 result_flags(u64 r, unsigned int size)
{
	u8 p = r;
	u64 f = 0;

	p ^= p >> 4;
	p ^= p >> 2;
	p ^= p >> 1;
	if (!(p & 1))
		f |= FL_PF;
	if (!(r & emul_mask(size)))
		f |= FL_ZF;
	if (r & sign_bit(size))
		f |= FL_SF;
	return f;
}

static u64 add(u64 d, u64 s, unsigned int carry, unsigned int size, u64 *f)
{
	u64 m = emul_mask(size), r = (d + s + carry) & m;

	*f = result_flags(r, size);
	if (r < d || (carry && r == d))
		*f |= FL_CF;
	if ((d ^ s ^ r) & 0x10)
		*f |= FL_AF;
	if (~(d ^ s) & (d ^ r) & sign_bit(size))
		*f |= FL_OF;
	return r;
}

static u64 sub(u64 d, u64 s, unsigned int borrow, unsigned int size, u64 *f)
{
	u64 m = emul_mask(size), r = (d - s - borrow) & m;

	*f = result_flags(r, size);
	if (d < s || (borrow && d == s))
		*f |= FL_CF;
	if ((d ^ s ^ r) & 0x10)
		*f |= FL_AF;
	if ((d ^ s) & (d ^ r) & sign_bit(size))
		*f |= FL_OF;
	return r;
}

u64 emul_alu2(unsigned int op, u64 d, u64 s, unsigned int size, u64 *flags)
{
	unsigned int carry = *flags & FL_CF;
	u64 f, r;

	d &= emul_mask(size);
	s &= emul_mask(size);
	switch (op) {
	case ALU_ADD:
		r = add(d, s, 0, size, &f);
		break;
	case ALU_ADC:
		r = add(d, s, carry, size, &f);
		break;
	case ALU_SUB:
	case ALU_CMP:
		r = sub(d, s, 0, size, &f);
		break;
	case ALU_SBB:
		r = sub(d, s, carry, size, &f);
		break;
	default:
		r = op == ALU_OR ? d | s : op == ALU_AND ? d & s : d ^ s;
		f = result_flags(r, size);
		break;
	}
	*flags = (*flags & ~(u64)FL_ARITH) | f;
	return r;
}

u64 emul_incdec(bool dec, u64 d, unsigned int size, u64 *flags)
{
	u64 f, r;

	d &= emul_mask(size);
	r = dec ? sub(d, 1, 0, size, &f) : add(d, 1, 0, size, &f);
	*flags = (*flags & ~(u64)(FL_ARITH & ~FL_CF)) | (f & ~(u64)FL_CF);
	return r;
}

/* ROL, ROR; count is not 0. OF is defined for a count of 1 alone. */
static u64 rotate(bool right, u64 d, unsigned int count, unsigned int size, u64 *flags)
{
	unsigned int bits = 8 * size, n = count % bits;
	u64 m = emul_mask(size), r = d;

	if (right)
		n = (bits - n) % bits;
	if (n)
		r = ((d << n) | (d >> (bits - n))) & m;
	*flags &= ~(u64)(FL_CF | FL_OF);
	if (right) {
		if (r & sign_bit(size))
			*flags |= FL_CF;
		if ((r ^ (r << 1)) & sign_bit(size))
			*flags |= FL_OF;
	} else {
		if (r & 1)
			*flags |= FL_CF;
		if (!!(r & sign_bit(size)) != (r & 1))
			*flags |= FL_OF;
	}
	return r;
}

/* RCL, RCR: a bit at a time, at most 63 of them. */
static u64 rotate_carry(bool right, u64 d, unsigned int count, unsigned int size, u64 *flags)
{
	unsigned int n = count % (8 * size + 1), i;
	u64 top = sign_bit(size), cf = *flags & FL_CF, r = d;

	for (i = 0; i < n; i++) {
		u64 out = right ? r & 1 : !!(r & top);

		if (right)
			r = (r >> 1) | (cf ? top : 0);
		else
			r = ((r << 1) | cf) & emul_mask(size);
		cf = out;
	}
	*flags = (*flags & ~(u64)(FL_CF | FL_OF)) | cf;
	if (right ? (r ^ (r << 1)) & top : !!(r & top) != cf)
		*flags |= FL_OF;
	return r;
}

static u64 shift(unsigned int op, u64 d, unsigned int n, unsigned int size, u64 *flags)
{
	unsigned int bits = 8 * size;
	u64 r, cf, of;

	if (op == SH_SAR) {
		s64 v = (s64)emul_sext(d, size);

		r = (u64)(v >> n) & emul_mask(size);
		cf = (u64)(v >> (n - 1)) & 1;
		of = 0;
	} else if (op == SH_SHR) {
		r = n < bits ? d >> n : 0;
		cf = n <= bits ? d >> (n - 1) & 1 : 0;
		of = d & sign_bit(size);
	} else {
		r = n < bits ? (d << n) & emul_mask(size) : 0;
		cf = n <= bits ? d >> (bits - n) & 1 : 0;
		of = !!(r & sign_bit(size)) ^ cf;
	}
	*flags = (*flags & ~(u64)FL_ARITH) | result_flags(r, size) | cf | (of ? FL_OF : 0);
	return r;
}

u64 emul_shift(unsigned int op, u64 d, unsigned int count, unsigned int size, u64 *flags)
{
	d &= emul_mask(size);
	count &= size == 8 ? 63 : 31;
	if (!count)
		return d;
	switch (op) {
	case SH_ROL:
	case SH_ROR:
		return rotate(op == SH_ROR, d, count, size, flags);
	case SH_RCL:
	case SH_RCR:
		return rotate_carry(op == SH_RCR, d, count, size, flags);
	default:
		return shift(op, d, count, size, flags);
	}
}

/* SHLD, SHRD; the caller sees to it that the count is not over the size. */
u64 emul_shift_double(bool right, u64 d, u64 s, unsigned int count, unsigned int size, u64 *flags)
{
	unsigned int bits = 8 * size, n = count & (size == 8 ? 63 : 31);
	u64 m = emul_mask(size), r, cf;

	d &= m;
	s &= m;
	if (!n)
		return d;
	if (right) {
		cf = d >> (n - 1) & 1;
		r = n < bits ? (d >> n) | (s << (bits - n)) : s;
	} else {
		cf = d >> (bits - n) & 1;
		r = n < bits ? (d << n) | (s >> (bits - n)) : s;
	}
	r &= m;
	*flags = (*flags & ~(u64)FL_ARITH) | result_flags(r, size) | cf;
	if ((d ^ r) & sign_bit(size))
		*flags |= FL_OF;
	return r;
}

/* 64 by 64 to 128 bits; the signed high half follows from the unsigned one. */
static void mul64(bool is_signed, u64 a, u64 b, u64 *lo, u64 *hi)
{
	unsigned __int128 p = (unsigned __int128)a * b;

	*lo = (u64)p;
	*hi = (u64)(p >> 64);
	if (is_signed) {
		if ((s64)a < 0)
			*hi -= b;
		if ((s64)b < 0)
			*hi -= a;
	}
}

/* CF and OF say that the high half counts; the others are undefined. */
void emul_mul(bool is_signed, u64 a, u64 b, unsigned int size, u64 *lo, u64 *hi, u64 *flags)
{
	u64 m = emul_mask(size);
	bool wide;

	if (is_signed) {
		a = emul_sext(a, size);
		b = emul_sext(b, size);
	} else {
		a &= m;
		b &= m;
	}
	mul64(is_signed, a, b, lo, hi);
	if (size < 8)
		*hi = *lo >> (8 * size);
	*lo &= m;
	*hi &= m;
	wide = is_signed ? *hi != (emul_sext(*lo, size) >> 63 ? m : 0) : *hi != 0;
	*flags &= ~(u64)(FL_CF | FL_OF);
	if (wide)
		*flags |= FL_CF | FL_OF;
}

/* 128 by 64 bits, a bit at a time; the kernel has no library division for it. */
static void div128(u64 hi, u64 lo, u64 by, u64 *quot, u64 *rem)
{
	unsigned int i;

	*quot = 0;
	for (i = 0; i < 64; i++) {
		bool carry = hi >> 63;

		hi = hi << 1 | lo >> 63;
		lo <<= 1;
		*quot <<= 1;
		if (carry || hi >= by) {
			hi -= by;
			*quot |= 1;
		}
	}
	*rem = hi;
}

static bool div_unsigned(u64 *lo, u64 *hi, u64 by, unsigned int size)
{
	u64 n;

	if (!by || *hi >= by)
		return false;
	if (size == 8) {
		if (*hi) {
			div128(*hi, *lo, by, lo, hi);
		} else {
			*hi = *lo % by;
			*lo /= by;
		}
		return true;
	}
	n = *hi << (8 * size) | *lo;
	*lo = n / by;
	*hi = n % by;
	return true;
}

static void negate_wide(u64 *lo, u64 *hi, unsigned int size)
{
	u64 m = emul_mask(size);

	*lo = -*lo & m;
	*hi = (*lo ? ~*hi : -*hi) & m;
}

/**
 * emul_div() - divide the double-width number *hi:*lo
 * @is_signed: IDIV
 * @lo: in: low half; out: quotient
 * @hi: in: high half; out: remainder
 * @by: divisor
 * @size: bytes of each half
 *
 * Return: false for #DE.
 */
bool emul_div(bool is_signed, u64 *lo, u64 *hi, u64 by, unsigned int size)
{
	u64 m = emul_mask(size), top = sign_bit(size);
	bool neg_num, neg_by;

	*lo &= m;
	*hi &= m;
	by &= m;
	if (!is_signed)
		return div_unsigned(lo, hi, by, size);

	neg_num = *hi & top;
	neg_by = by & top;
	if (neg_num)
		negate_wide(lo, hi, size);
	if (neg_by)
		by = -by & m;
	if (!div_unsigned(lo, hi, by, size))
		return false;
	if (neg_num != neg_by) {
		if (*lo > top)
			return false;
		*lo = -*lo & m;
	} else if (*lo >= top) {
		return false;
	}
	if (neg_num)
		*hi = -*hi & m;
	return true;
}

/* SDM vol. 1, "EFLAGS Condition Codes" */
bool emul_condition(unsigned int cc, u64 flags)
{
	bool sf = flags & FL_SF, of = flags & FL_OF, hit;

	switch (cc >> 1 & 7) {
	case 0:
		hit = of;
		break;
	case 1:
		hit = flags & FL_CF;
		break;
	case 2:
		hit = flags & FL_ZF;
		break;
	case 3:
		hit = flags & (FL_CF | FL_ZF);
		break;
	case 4:
		hit = sf;
		break;
	case 5:
		hit = flags & FL_PF;
		break;
	case 6:
		hit = sf != of;
		break;
	default:
		hit = sf != of || (flags & FL_ZF);
		break;
	}
	return hit != (cc & 1);
}
