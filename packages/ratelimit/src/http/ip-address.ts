// IP addresses: parsed in every notation, so that one address has one key.

/** 16 bytes; of IPv4, the mapped form ::ffff:a.b.c.d (RFC 4291 §2.5.5.2). */
export type IpAddress = readonly number[];

/** A range of addresses. */
export interface IpRange {
  readonly address: IpAddress;
  /** In bits, of 128. */
  readonly prefix: number;
}

const MAPPED: readonly number[] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
/** Of a textual address, with a zone. */
const MAX_LENGTH = 64;

/** The address, whatever its notation; undefined for what is none. A zone (`%eth0`) is no part of it. */
export function parseIp(text: string): IpAddress | undefined {
  if (text.length > MAX_LENGTH) return undefined;
  const [address = ""] = text.split("%");
  return address.includes(":") ? parseIpv6(address) : mapped(parseIpv4(address));
}

/** `192.0.2.0/24` or a single address. Undefined for what is none. */
export function parseRange(text: string): IpRange | undefined {
  const [address = "", length, ...rest] = text.split("/");
  const parsed = parseIp(address);
  if (parsed === undefined || rest.length > 0) return undefined;
  const bits = address.includes(":") ? 128 : 32;
  if (length !== undefined && !/^\d{1,3}$/.test(length)) return undefined;
  const prefix = length === undefined ? bits : Number(length);
  return prefix > bits ? undefined : { address: parsed, prefix: prefix + 128 - bits };
}

export function isWithin(address: IpAddress, { address: base, prefix }: IpRange): boolean {
  return maskedIp(address, prefix).every((byte, index) => byte === maskedIp(base, prefix)[index]);
}

/** One text for each address, or for each network of that many bits where it is IPv6. */
export function ipKey(address: IpAddress, ipv6Prefix: number): string {
  if (isIpv4(address)) return address.slice(12).join(".");
  const hex = maskedIp(address, ipv6Prefix).map((byte) => byte.toString(16).padStart(2, "0"));
  const groups = Array.from({ length: 8 }, (_, index) => `${hex[2 * index]!}${hex[2 * index + 1]!}`);
  return `${groups.join(":")}/${ipv6Prefix}`;
}

function isIpv4(address: IpAddress): boolean {
  return MAPPED.every((byte, index) => address[index] === byte);
}

function maskedIp(address: IpAddress, prefix: number): IpAddress {
  return address.map((byte, index) => {
    const bits = Math.min(8, Math.max(0, prefix - 8 * index));
    return byte & (0xff << (8 - bits)) & 0xff;
  });
}

function mapped(bytes: readonly number[] | undefined): IpAddress | undefined {
  return bytes === undefined ? undefined : [...MAPPED, ...bytes];
}

/** Four decimal numbers: others, such as 0177.1, mean different addresses to different programs. */
function parseIpv4(text: string): readonly number[] | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  const bytes = parts.map((part) => (/^(?:0|[1-9]\d{0,2})$/.test(part) ? Number(part) : 256));
  return bytes.every((byte) => byte < 256) ? bytes : undefined;
}

/** RFC 4291 §2.2: groups, of which one run of zeros can be left out, and IPv4 at the end. */
function parseIpv6(text: string): IpAddress | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half, index) =>
    bytesOf(half === "" ? [] : half.split(":"), index === halves.length - 1),
  );
  if (head === undefined) return undefined;
  if (halves.length === 1) return head.length === 16 ? head : undefined;
  // At least one group is left out.
  if (tail === undefined || head.length + tail.length > 14) return undefined;
  return [...head, ...Array.from({ length: 16 - head.length - tail.length }, () => 0), ...tail];
}

function bytesOf(groups: readonly string[], isEnd: boolean): number[] | undefined {
  const bytes: number[] = [];
  for (const [index, group] of groups.entries()) {
    const ipv4 = isEnd && index === groups.length - 1 ? parseIpv4(group) : undefined;
    if (ipv4 !== undefined) bytes.push(...ipv4);
    else if (/^[\da-f]{1,4}$/i.test(group)) {
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    } else return undefined;
  }
  return bytes;
}
