/** Bodies that no portal sends, decoded like PHP. */
export const SAME_AS_PHP = [
  '', '&', '&&&', '=', '=1', '==', 'a', 'a=', 'a&b', '&&a=1&', 'a=1=2', 'a%3Db=1', 'a;b=1;c=2',
  // lists, sparse maps, appends
  'a[0]=x&a[1]=y', 'a[0]=x&a[2]=y', 'a[1]=x&a[2]=y', 'a[0]=x&a[2]=y&a[1]=z', 'a[1]=x&a[0]=y', 'a[0]=x&a[k]=y', 'a[0]=x&a[00]=y', 'a[01]=x', 'a[-1]=x', 'a[-0]=x', 'a[1.0]=x', 'a[0]=x&a[1.5]=y', 'a[0]=x&a[NaN]=y',
  'a[]=x', 'a[]=x&a[]=y', 'a[0]=x&a[]=y', 'a[][b]=x&a[][c]=y', 'a[][]=x&a[][]=y', 'a[0][]=x&a[0][]=y', 'a[b][]=x&a[b][]=y',
  'a[0][b]=1&a[1][b]=2', 'a[0][b]=1&a[x][b]=2', 'a[0][0]=1&a[0][x]=2', 'a[0][0]=1&a[0][x]=2&a[1][0]=3', 'a[0][0][0]=1&a[0][0][k]=2', 'a[7][x]=1&a[39][x]=2', 'a[99999999999999999999]=x', 'a[0]=x&a[length]=y', '0=x&1=y', '0[0]=x',
  'data[BOT][7][AUTH][domain]=x&data[BOT][7][id]=7', 'data%5BMESSAGES%5D%5B0%5D%5Bmessage%5D%5Btext%5D=a&data%5BMESSAGES%5D%5B1%5D%5Bmessage%5D%5Btext%5D=b',
  // brackets that do not match
  'a[b]c=1', 'a[b]c[d]=1', 'a[b]]=1', 'a]b=1', 'a]=1', '[=1', '[]=1', '[a]=1', '[a=1', ']=1', 'a[[b]]=1', 'a[b[c]]=1', 'a[[]=1', 'a[]]=1', 'a[b][c=1', 'a[b][c][=1',
  'a[x]=1&a[y][z=2', 'a[x]=1&a[y]z=2', 'a[b]%5Bc%5D=1', 'a%5Bb]=1', 'a[b%5D=1', 'a%5bb%5d=1', 'a[b]%5=1', 'a[b]%=1',
  // escapes
  'a=%zz&b=%z&c=%4&d=%', '%zz=1', 'a=%41%4', 'a=%%41', 'a=%25%34%31', 'a%255Bb=1', 'a%%5Bb%5D=1', 'a[%5Bb]=1', 'a[%41]=1', 'a[x+y]=1', 'a[x%20y]=1', 'a=%2B+%20', 'a=%00', 'a=x%00y', 'a=+', 'a=%0D%0A',
  // invalid UTF-8, plain and in a long text
  'a=%FF', 'a=%C3', 'a=%C3%28', 'a=%E2%82', 'a=%E2%82%41', 'a=%F0%9F%98%80', 'a=%ED%A0%80', 'a=%C0%AF', 'a=%F4%90%80%80', 'a[%FF]=1', 'a=é%C3', 'a=é', 'é=1', 'a[é%C3%A9]=1', 'a=😀%F0%9F', `a=${'%D1%8F+'.repeat(60)}%D1`, `a=${'x%2F+'.repeat(70)}é%zz`
]

interface Difference {
  why: string
  body: string
  /** Result of `parse_str`. */
  php: unknown
  /** Our result, or the code of the error. */
  ours: unknown
}

/** Intended differences from PHP. */
export const DIFFERENT: Difference[] = [
  { why: 'a dot or a space in a name stays: PHP makes it an underscore', body: 'a.b=1&c d=2', php: { a_b: '1', c_d: '2' }, ours: { 'a.b': '1', 'c d': '2' } },
  { why: 'spaces before a name stay: PHP drops them', body: ' a=1', php: { a: '1' }, ours: { ' a': '1' } },
  { why: 'a bracket that is never closed stays in the name: PHP makes it an underscore', body: 'a[=1&b[c=2', php: { a_: '1', b_c: '2' }, ours: { 'a[': '1', 'b[c': '2' } },
  { why: 'the same where the last key named the same group', body: 'a[x]=1&a[b=2', php: { a: { x: '1' }, a_b: '2' }, ours: { a: { x: '1' }, 'a[b': '2' } },
  { why: 'NUL stays in a key: PHP ends the key there', body: 'a%00b=1', php: { a: '1' }, ours: { 'a\0b': '1' } },
  { why: 'NUL stays in an inner key too', body: 'a[b%00c]=1', php: { a_b: '1' }, ours: { a: { 'b\0c': '1' } } },
  { why: 'a space between brackets is a key: PHP appends', body: 'a[ ]=1', php: { a: ['1'] }, ours: { a: { ' ': '1' } } },
  { why: 'a repeated name is refused: with PHP the last wins', body: 'event=A&event=B', php: { event: 'B' }, ours: 'FST_B24_FORM_KEY' },
  { why: 'a repeated inner key is refused: with PHP the last wins', body: 'auth[x]=1&auth[x]=2', php: { auth: { x: '2' } }, ours: 'FST_B24_FORM_KEY' },
  { why: 'a repeated index is refused: with PHP the last wins', body: 'a[0]=1&a[1]=2&a[0]=3', php: { a: ['3', '2'] }, ours: 'FST_B24_FORM_KEY' },
  { why: 'a map after a value is refused: with PHP the last wins', body: 'auth=x&auth[y]=1', php: { auth: { y: '1' } }, ours: 'FST_B24_FORM_KEY' },
  { why: 'a value after a map is refused: with PHP the last wins', body: 'auth[y]=1&auth=x', php: { auth: 'x' }, ours: 'FST_B24_FORM_KEY' },
  { why: 'the same further in', body: 'a[b][x]=1&a[b]=2', php: { a: { b: '2' } }, ours: 'FST_B24_FORM_KEY' },
  { why: 'the same with a bracket that is never closed', body: 'a[b][x]=1&a[b][c=2', php: { a: { b: '2' } }, ours: 'FST_B24_FORM_KEY' },
  { why: 'an append to a map is refused: PHP takes the next number', body: 'a[5]=1&a[]=2', php: { a: { 5: '1', 6: '2' } }, ours: 'FST_B24_FORM_KEY' },
  { why: 'a prototype key is refused: PHP has no such thing', body: 'a[__proto__][x]=1', php: { a: JSON.parse('{"__proto__":{"x":"1"}}') }, ours: 'FST_B24_FORM_KEY' }
]
