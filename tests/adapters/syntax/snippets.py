"""One text per language with what is to be found in it: `name`, first and last line; types end in a
star. The texts show each way in which the language names a function or class.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Snippet:
    path: str
    source: str
    found: str


JAVASCRIPT = Snippet(
    "cart.js",
    """\
// Sums up.
// In cents.
export const total = (prices) => prices.reduce((a, b) => a + b);
function outer() { return function inner() {} }

const rate = 1, mean = function () {};
class Cart extends Base {
  /** A field that is a function. */
  handle = () => 1;
  static count = 3;

  get size() { return 1 }
  #secret() {}
  ['comp' + 1]() {}
  static { start() }
}
app.use = function use(fn) { return () => 1 };
Cart.prototype.clear = function () {};
module.exports = { get() {}, post: function () {}, 'a-b': () => 1, deep: { x() {} } };
export default function () {}
exports.later = async () => {};
describe('cart', function () { it('adds', () => {}) });
const Kind = class Other { m() {} };
module.exports = function create() {};
function* each() {}
/* not above */ let z = 1;
export async function last() {}
""",
    """\
total 1-3
outer 4-4
outer.inner 4-4
mean 6-6
Cart* 7-16
Cart.handle 8-9
Cart.size 12-12
Cart.#secret 13-13
Cart.['comp' + 1] 14-14
app.use 17-17
Cart.clear 18-18
get 19-19
post 19-19
a-b 19-19
deep.x 19-19
default 20-20
later 21-21
Kind* 23-23
Kind.m 23-23
create 24-24
each 25-25
last 27-27
""",
)
FLOW = Snippet(
    "flow.js",
    """\
// @flow
export function total(prices: Array<number>, rate: ?number): number { return 0; }
type Props = {| +name: string |};
const view = (p: Props): string => p.name;
""",
    """\
total 1-2
view 4-4
""",
)
TYPESCRIPT = Snippet(
    "cart.ts",
    """\
/** A cart. */
@Injectable()
export class Cart<T> implements Sized {
  constructor(private rate: string) {}
  // What comes in.
  @Input()
  total(): void {}
  private mean = async <T,>(x: T) => { return x };
}
interface Sized { size(): number; name: string }
export abstract class Base { abstract run(): number; }
namespace Shop.Inner { export function sum() {} }
enum Colour { Red }
function over(a: string): void;
function over(a: any) {}

export const handler: Handler = (x) => 1;
const table = { row(): void {} } as const;
declare function outside(): void;
export default class { q() {} }
""",
    """\
Cart* 1-9
Cart.constructor 4-4
Cart.total 5-7
Cart.mean 8-8
Sized* 10-10
Sized.size 10-10
Base* 11-11
Base.run 11-11
Shop.Inner.sum 12-12
Colour* 13-13
over 14-14
over 15-15
handler 17-17
table.row 18-18
outside 19-19
default* 20-20
default.q 20-20
""",
)
TSX = Snippet(
    "view.tsx",
    """\
export const View: FC<Props> = ({ name }) => {
  const onClick = useCallback(() => go(), []);
  function label() { return name; }
  return <button onClick={() => onClick()}>{label()}</button>;
};
class Old extends Component<Props> {
  render() { return <View name="x" />; }
}
""",
    """\
View 1-5
View.label 3-3
Old* 6-8
Old.render 7-7
""",
)
JAVA = Snippet(
    "Cart.java",
    """\
package shop;
/** A cart. */
@Deprecated
public class Cart<T> extends Base {
  private int x = 1; // note
  @Override
  public void run() {
    new Thread(new Runnable() { public void run() { } });
    list.forEach(e -> e.go());
  }
  // Makes one.
  Cart() {}
  static { start(); }
  interface In { void m(); default int d() { return 1; } }
  enum Kind { A { int v() { return 1; } }, B; int v() { return 0; } }
  record Point(int x) { Point { } }
}
@interface Mark { String value(); }
""",
    """\
Cart* 2-17
Cart.run 6-10
Cart.run.run 8-8
Cart.Cart 11-12
Cart.In* 14-14
Cart.In.m 14-14
Cart.In.d 14-14
Cart.Kind* 15-15
Cart.Kind.A.v 15-15
Cart.Kind.v 15-15
Cart.Point* 16-16
Cart.Point.Point 16-16
Mark* 18-18
""",
)
GO = Snippet(
    "cart.go",
    """\
package shop

// Cart holds.
type Cart struct{ x int }

type (
	Sized interface{ Size() int }
	Rate  int
)

// Total sums.
func (c *Cart) Total() error {
	go func() {}()
	return nil
}
func (Cart) Clear()         {}
func (l *List[T]) Push(v T) {}
func Map[T any](x T) T      { f := func() {}; f(); return x }

var Handler = func() {}
""",
    """\
Cart* 3-4
Sized* 7-7
Sized.Size 7-7
Rate* 8-8
Cart.Total 11-15
Cart.Clear 16-16
List.Push 17-17
Map 18-18
Handler 20-20
""",
)
RUST = Snippet(
    "cart.rs",
    """\
/// A cart.
#[derive(Debug)]
pub struct Cart<T> { a: T }
impl<T> Cart<T> {
    /// Makes one.
    pub fn new() -> Self { let c = |x| x; fn inner() {} c }
    const X: u8 = 1;
}
impl<T: Display> fmt::Display for Cart<T> {
    fn fmt(&self) -> Result { Ok(()) }
}
impl From<io::Error> for Error { fn from(e: io::Error) -> Error { Error } }
pub trait Sized { fn size(&self); fn is_empty(&self) -> bool { true } }
mod tests {
    #[test]
    fn adds() {}
}
macro_rules! cart { () => {} }
enum Kind { A }
extern "C" { fn outside(); }
async unsafe fn late() {}
""",
    """\
Cart* 1-3
Cart* 4-8
Cart.new 5-6
Cart.new.inner 6-6
<Cart<T> as fmt::Display>* 9-11
<Cart<T> as fmt::Display>.fmt 10-10
<Error as From<io::Error>>* 12-12
<Error as From<io::Error>>.from 12-12
Sized* 13-13
Sized.size 13-13
Sized.is_empty 13-13
tests.adds 15-16
cart 18-18
Kind* 19-19
outside 20-20
late 21-21
""",
)
C = Snippet(
    "cart.c",
    """\
/* Sums
 * up. */
static int *total(int a)
{ return 0; }
struct cart { int a; };
typedef struct { int b; } rate_t;
typedef struct node { int b; } node_t;
struct cart make(struct cart x) { return x; }
#define MAX(a, b) \\
   ((a) > (b))

void (*signal(int sig, void (*func)(int)))(int) { }
enum colour { RED };
int prototype(int);
#ifdef X
static void only_x(void) { }
#endif
""",
    """\
total 1-4
cart* 5-5
rate_t* 6-6
node* 7-7
make 8-8
MAX 9-10
signal 12-12
colour* 13-13
only_x 16-16
""",
)
CPP = Snippet(
    "cart.cpp",
    """\
namespace shop::inner {
template <typename T>
class Cart : public Base {
 public:
  Cart() = default;
  ~Cart() {}
  int get() const { return 1; }
  int total();
  bool operator==(const Cart& o) const { return true; }
  explicit operator bool() const { return true; }
  int operator()(int x) { return x; }
  template <class U> void add(U u) {}
};
// Sums up.
template <typename T>
int Cart<T>::total() { auto l = [](){}; return 1; }
std::ostream& operator<<(std::ostream& o, const Cart<int>& f) { return o; }
}
namespace { void hidden() {} }
extern "C" { void plain() {} }
TEST(Cart, Total) { }
TEST_F(Cart, Other) { }
Cart::Cart(int a) : x(a) {}
Cart::~Cart() {}
const std::string& Cart::name() const & { return n; }
enum class Colour { Red };
auto trailing() -> int { return 1; }
""",
    """\
shop.inner.Cart* 2-13
shop.inner.Cart.Cart 5-5
shop.inner.Cart.~Cart 6-6
shop.inner.Cart.get 7-7
shop.inner.Cart.operator== 9-9
shop.inner.Cart.operator bool 10-10
shop.inner.Cart.operator() 11-11
shop.inner.Cart.add 12-12
shop.inner.Cart.total 14-16
shop.inner.operator<< 17-17
hidden 19-19
plain 20-20
TEST(Cart, Total) 21-21
TEST_F(Cart, Other) 22-22
Cart.Cart 23-23
Cart.~Cart 24-24
Cart.name 25-25
Colour* 26-26
trailing 27-27
""",
)
HEADER = Snippet(
    "cart.h",
    """\
#pragma once
class Cart : public Base {
 public:
  explicit Cart(int a) : x(a) {}
  virtual int total() const;
};
""",
    """\
Cart* 2-6
Cart.Cart 4-4
""",
)
RUBY = Snippet(
    "cart.rb",
    """\
# The shop.
module Shop
  class Cart::Inner < Base
    # Sums
    # up.
    def total(x) = x
    def self.make; end
    class << self
      def each
        [1].each { |x| x }
      end
    end
    private def secret; end
    attr_reader :a
    def ==(o); end
    def empty?; end
  end
  Point = Struct.new(:x) do
    def length; end
  end
end
get '/x' do
  1
end
""",
    """\
Shop* 1-21
Shop.Cart.Inner* 3-17
Shop.Cart.Inner.total 4-6
Shop.Cart.Inner.self.make 7-7
Shop.Cart.Inner.self.each 9-11
Shop.Cart.Inner.secret 13-13
Shop.Cart.Inner.== 15-15
Shop.Cart.Inner.empty? 16-16
Shop.Point* 18-20
Shop.Point.length 19-19
""",
)
PHP = Snippet(
    "cart.php",
    """\
<html><?php
namespace Shop;
/**
 * A cart.
 */
#[Attr]
final class Cart extends Base {
  use Sized;
  /** Makes one. */
  public function __construct(private int $a) {}
  abstract protected static function make(): void;
  public function total() {
    $f = function () {}; $g = fn() => 1;
    return new class { function inner() {} };
  }
}
interface Sized { public function size(); }
trait Counts { function count() {} }
enum Kind: string { case A = 'a'; public function label() {} }
function outer() { function nested() {} }
?>
<b></b>
""",
    """\
Cart* 3-16
Cart.__construct 9-10
Cart.make 11-11
Cart.total 12-15
Cart.total.inner 14-14
Sized* 17-17
Sized.size 17-17
Counts* 18-18
Counts.count 18-18
Kind* 19-19
Kind.label 19-19
outer 20-20
outer.nested 20-20
""",
)
PYTHON = Snippet(
    "cart.py",
    """\
@decorated
class Cart:
    # not a part
    @property
    def size(self): return lambda: 1
    async def total(self):
        def inner(): pass
if True:
    def late(): pass
""",
    """\
Cart* 1-7
Cart.size 4-5
Cart.total 6-7
Cart.total.inner 7-7
late 9-9
""",
)
ALL = (JAVASCRIPT, FLOW, TYPESCRIPT, TSX, JAVA, GO, RUST, C, CPP, HEADER, RUBY, PHP, PYTHON)
