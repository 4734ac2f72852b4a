/** A colour; each part is from 0 to 255. */
export interface Colour {
  red: number;
  green: number;
  blue: number;
}

/** Reads `#rrggbb` or its short form `#rgb`. */
export function parseHex(text: string): Colour {
  const digits = text.replace("#", "");
  if (!/^([0-9a-f]{3}|[0-9a-f]{6})$/i.test(digits)) {
    throw new Error(`${text} is no colour`);
  }
  const size = digits.length / 3;
  const part = (index: number) => parseInt(digits.slice(index * size, (index + 1) * size), 16);
  return { red: part(0), green: part(1), blue: part(2) };
}

/** Writes a colour as `#rrggbb`. */
export function toHex(colour: Colour): string {
  const part = (value: number) => value.toString(16).padStart(2, "0");
  return `#${part(colour.red)}${part(colour.green)}${part(colour.blue)}`;
}
